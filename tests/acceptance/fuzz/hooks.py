"""What Schemathesis is told of the platform: a token for each call, and an address of its own for each request.

Loaded by `st run` (SCHEMATHESIS_HOOKS), outside of Django.
"""

import itertools
import json
import os
from base64 import b64encode
from typing import Any

import requests
import schemathesis
from hypothesis import strategies

URL, ACCOUNT = os.environ["FUZZ_URL"], json.loads(os.environ["FUZZ_ACCOUNT"])
# Cursors that any list takes: by offset.
CURSORS = [b64encode(text.encode()).decode() for text in ("o=0", "o=1", "r=1&o=2", "o=50")]
schemathesis.openapi.format("cursor", strategies.sampled_from(CURSORS))
schemathesis.openapi.format("time-zone", strategies.sampled_from(["Europe/Berlin", "UTC", "America/New_York"]))
schemathesis.openapi.format("network", strategies.sampled_from(["192.0.2.7", "192.0.2.0/24", "2001:db8::/32"]))
_requests = itertools.count(1)


def _address() -> str:
    """An IPv4 address per request: what is counted per network address counts nothing here."""
    number = next(_requests)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@schemathesis.auth(refresh_interval=None)
class Token:
    """Logs in, and again after calls that may have ended the session: log-out, closing it, a change of the password."""

    token = ""

    def get(self, case: Any, context: schemathesis.AuthContext) -> str:
        if Token.token:
            return Token.token
        answer = requests.post(
            f"{URL}/api/v1/auth/login", json=ACCOUNT, headers={"X-Forwarded-For": _address()}, timeout=30
        )
        answer.raise_for_status()
        Token.token = answer.json()["access"]
        return Token.token

    def set(self, case: Any, data: str, context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    case.headers["X-Forwarded-For"] = _address()


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    if response.status_code == 401:
        Token.token = ""
