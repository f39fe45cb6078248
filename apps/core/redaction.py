"""Masks secrets in log lines."""

import re
from collections.abc import MutableMapping
from typing import Any

from django.http import HttpRequest

MASK = "***"

_SECRET_NAME = re.compile(
    r"(secret|password|passwd|token|authorization|api[-_]?key|api[-_]?sign|private[-_]?key|otp)", re.I
)
_SECRET_TEXT = re.compile(
    r"(?P<lead>Bearer\s+|://[^\s:/@]+:|(?:password|secret|token|api[-_]?key|api[-_]?sign)\"?'?\s*[=:]\s*\"?'?)"
    r"(?P<value>[^\s@\"'&,;]+)",
    re.I,
)


_MACHINE_KEY = re.compile(r"\bmk_[0-9A-Za-z]{16,}")


def mask_text(text: str) -> str:
    """Returns the text with passwords in URLs, bearer tokens, machine keys and `name=value` secrets masked."""
    return _MACHINE_KEY.sub(MASK, _SECRET_TEXT.sub(lambda match: match["lead"] + MASK, text))


def request_line(request: HttpRequest) -> str:
    """Method and path. What stands in a query string may be a token, so no line has it."""
    return mask_text(f"{request.method} {request.path}")


def mask_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: masks the value of each key with a secret's name, and secrets inside text."""
    for key, value in event.items():
        if key.startswith("_"):
            continue
        if _SECRET_NAME.search(key):
            event[key] = MASK
        elif isinstance(value, HttpRequest):
            # Django's own lines hold the request, which shows its query string.
            event[key] = request_line(value)
        elif isinstance(value, str):
            event[key] = mask_text(value)
    return event
