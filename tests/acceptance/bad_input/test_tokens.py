"""Tokens that the platform did not give, or not for this: 401 in the one shape, from every service."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec

from service_common.environment import environment
from tests.acceptance.bad_input.asking import address, log_in, refused
from tests.support.members import members

READS = {"user": "/api/v1/user/me", "kraken": "/api/v1/bot"}
OTHERS_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def good(url: str) -> str:
    return str(log_in(url, members().emails["trader"]).json()["access"])


def signing_key() -> str:
    """The platform's own: a token that it signs is wrong for one reason alone."""
    return environment("user").secret("jwt_private_key", needed_for="tests")


def changed(good: str, **claims: Any) -> str:
    kept = {**jwt.decode(good, options={"verify_signature": False}), **claims}
    kept = {name: value for name, value in kept.items() if value is not None}
    return jwt.encode(kept, signing_key(), "ES256", headers={"kid": jwt.get_unverified_header(good)["kid"]})


@pytest.fixture(scope="module")
def bad(good: str) -> dict[str, str]:
    now = int(time.time())
    claims = jwt.decode(good, options={"verify_signature": False})
    header = jwt.get_unverified_header(good)
    head, body, signature = good.split(".")
    raised = _encoded({**claims, "roles": ["admin"]})
    return {
        "expired": changed(good, iat=now - 1200, exp=now - 60),
        "not valid yet": changed(good, nbf=now + 3600),
        "of the future": changed(good, iat=now + 3600, exp=now + 7200),
        "without an end": changed(good, exp=None),
        "for another audience": changed(good, aud="another-api"),
        "for a service": changed(good, aud="kraken"),
        "for nobody": changed(good, aud=None),
        "of another issuer": changed(good, iss="another"),
        "of no issuer": changed(good, iss=None),
        "a refresh token": changed(good, token_type="refresh"),
        "of a session that there is not": changed(good, sid="not-a-session"),
        "signed by another": jwt.encode(claims, OTHERS_KEY, "ES256", headers={"kid": header["kid"]}),
        "signed by a key of its own": jwt.encode(claims, OTHERS_KEY, "ES256", headers={"jwk": {}, "kid": "mine"}),
        "signed by its key id": jwt.encode(claims, header["kid"] * 2, "HS256", headers={"kid": header["kid"]}),
        "not signed": f"{_encoded({'alg': 'none', 'kid': header['kid']})}.{body}.",
        "with other claims": f"{head}.{raised}.{signature}",
        "without its signature": f"{head}.{body}.",
        "cut": good[:-20],
        "empty": "",
        "no token": "a.b.c",
        "very long": "a" * 7000,
    }


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("service", sorted(READS))
def test_a_token_that_is_wrong_for_one_reason_is_refused(
    service: str, url: str, good: str, bad: dict[str, str]
) -> None:
    def read(token: str) -> requests.Response:
        return requests.get(url + READS[service], headers={"Authorization": f"Bearer {token}", **address()}, timeout=60)

    assert read(good).status_code == 200
    assert read(changed(good)).status_code == 200, "a token that is signed here is a good one"
    answers = {why: refused(read(token)) for why, token in bad.items()}
    assert {why: answer for why, answer in answers.items() if answer[0] != 401} == {}
    assert {code for _, code in answers.values()} <= {"invalid_token", "not_authenticated"}
