"""A client that signs and sends exactly the given request."""

import json
from itertools import count
from typing import Any
from urllib.parse import urlencode

from django.test import Client

from apps.paper.services.accounts import OpenedAccount
from apps.paper.signature import sign

FORM = "application/x-www-form-urlencoded; charset=utf-8"
JSON = "application/json; charset=utf-8"


class Wire:
    def __init__(self, client: Client, key: str, secret: str) -> None:
        self.client, self.key, self.secret = client, key, secret
        self._nonces = count(1)

    @classmethod
    def of(cls, client: Client, opened: OpenedAccount) -> "Wire":
        return cls(client, opened.api_key.key, opened.api_secret)

    def call(self, method: str, **params: Any) -> Any:
        """A signed form; returns the result, and asserts that there is one."""
        body = self.answer(method, **params)
        assert body["error"] == [], body
        return body["result"]

    def error(self, method: str, **params: Any) -> str:
        """Like `call`, for a refusal: returns its error text, and asserts that it is the only one."""
        body = self.answer(method, **params)
        assert len(body["error"]) == 1
        assert "result" not in body
        return str(body["error"][0])

    def answer(self, method: str, **params: Any) -> Any:
        nonce = str(next(self._nonces))
        return self.raw(method, urlencode({**params, "nonce": nonce}), nonce=nonce)

    def raw(self, method: str, body: str, *, nonce: str, content_type: str = FORM, **headers: str) -> Any:
        path = f"/0/private/{method}"
        signature = sign(secret=self.secret, path=path, nonce=nonce, body=body.encode())
        response = self.client.post(
            path,
            body.encode(),
            content_type=content_type,
            headers={"API-Key": self.key, "API-Sign": signature, **headers},
        )
        assert response.status_code == 200
        assert response["Content-Type"] == "application/json"
        return json.loads(response.content)


def get(client: Client, path: str) -> Any:
    response = client.get(path)
    assert response.status_code == 200
    return json.loads(response.content)


def result(client: Client, path: str) -> Any:
    body = get(client, path)
    assert body["error"] == [], body
    return body["result"]
