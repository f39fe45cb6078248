"""A REST client of the platform, through the gateway like any other."""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import requests

TIMEOUT_SECONDS = 15.0

Json = dict[str, Any]


class SmokeTestFailed(Exception):
    """A step did not go as it must. The text says which, and what was answered."""


@dataclass
class PlatformClient:
    """`base_url` is the gateway's, without a path."""

    base_url: str
    token: str = ""
    _session: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str, **query: Any) -> Json:
        return self._call("GET", path, params=query)

    def post(self, path: str, body: Json | None = None, *, accept: tuple[int, ...] = (200, 201, 202)) -> Json:
        """Each call is one mutation: a key of its own makes a repeated request harmless."""
        return self._call("POST", path, json=body or {}, accept=accept, headers={"Idempotency-Key": uuid4().hex})

    def _call(
        self,
        method: str,
        path: str,
        *,
        accept: tuple[int, ...] = (200,),
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Json:
        sent = {**(headers or {}), **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        try:
            answer = self._session.request(
                method, f"{self.base_url}{path}", headers=sent, timeout=TIMEOUT_SECONDS, **more
            )
        except requests.RequestException as error:
            raise SmokeTestFailed(f"{method} {path}: the gateway does not answer ({type(error).__name__}).") from None
        if answer.status_code not in accept:
            raise SmokeTestFailed(f"{method} {path} answered {answer.status_code}: {_message(answer)}")
        body: Json = answer.json() if answer.content else {}
        return body


def _message(answer: requests.Response) -> str:
    try:
        error = answer.json()["error"]
        return f"{error['message']} ({error['code']}, request {error['request_id']}) {error['details'] or ''}".strip()
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
