"""Readable names of devices, from the user agent that a client sends about itself.

A client may send anything. The name is for its owner to recognise it, and decides nothing.
"""

import re

UNKNOWN = "Unknown device"

# The first that is found names the client. Browsers name others beside themselves, so the most particular come first.
_CLIENTS = (
    ("Edge", r"\bEdg(?:e|A|iOS)?/"),
    ("Opera", r"\b(?:OPR|Opera)/"),
    ("Samsung Internet", r"\bSamsungBrowser/"),
    ("Firefox", r"\b(?:Firefox|FxiOS)/"),
    ("Chrome", r"\b(?:Chrome|CriOS|Chromium)/"),
    ("Safari", r"\bSafari/"),
    ("curl", r"^curl/"),
    ("HTTPie", r"^HTTPie/"),
    ("Postman", r"^PostmanRuntime/"),
    ("Python", r"^(?:python-|Python/|python/|aiohttp/)"),
    ("Node.js", r"^(?:node|axios/|undici)"),
    ("Go", r"^Go-http-client/"),
    ("Java", r"^(?:Java/|okhttp/|Apache-HttpClient/)"),
)
_SYSTEMS = (
    ("iPhone", r"\biPhone\b"),
    ("iPad", r"\biPad\b"),
    ("Android", r"\bAndroid\b"),
    ("Windows", r"\bWindows\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("macOS", r"\bMac(?:intosh|OS| OS X)"),
    ("Linux", r"\bLinux\b"),
)


def device_name(user_agent: str) -> str:
    """Such as "Firefox on Linux", "curl" or UNKNOWN."""
    client, system = _first(_CLIENTS, user_agent), _first(_SYSTEMS, user_agent)
    if client and system:
        return f"{client} on {system}"
    return client or system or UNKNOWN


def _first(names: tuple[tuple[str, str], ...], user_agent: str) -> str:
    return next((name for name, pattern in names if re.search(pattern, user_agent)), "")
