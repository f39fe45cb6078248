"""Masks secrets in log lines."""

import re
from collections.abc import MutableMapping
from typing import Any

MASK = "***"

_SECRET_NAME = re.compile(
    r"(secret|password|passwd|token|authorization|api[-_]?key|api[-_]?sign|private[-_]?key|otp)", re.I
)
_SECRET_TEXT = re.compile(
    r"(?P<lead>Bearer\s+|://[^\s:/@]+:|(?:password|secret|token|api[-_]?key|api[-_]?sign)\"?'?\s*[=:]\s*\"?'?)"
    r"(?P<value>[^\s@\"'&,;]+)",
    re.I,
)


def mask_text(text: str) -> str:
    """Returns the text with passwords in URLs, bearer tokens and `name=value` secrets masked."""
    return _SECRET_TEXT.sub(lambda match: match["lead"] + MASK, text)


def mask_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: masks the value of each key with a secret's name, and secrets inside text."""
    for key, value in event.items():
        if key.startswith("_"):
            continue
        if _SECRET_NAME.search(key):
            event[key] = MASK
        elif isinstance(value, str):
            event[key] = mask_text(value)
    return event
