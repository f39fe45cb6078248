"""What a client may and may not do at the gateway, with its own token and with forged ones."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec

from apps.ops.smoke_test.client import PlatformClient, SmokeTestFailed

LogIn = Callable[[], PlatformClient]


def _claims(client: PlatformClient) -> dict[str, object]:
    return jwt.decode(client.token, options={"verify_signature": False})


def test_tokens_are_signed_asymmetrically_with_the_published_key(log_in: LogIn) -> None:
    client = log_in()
    keys = client.get("/.well-known/jwks.json")["keys"]
    header = jwt.get_unverified_header(client.token)

    assert header["alg"] == "ES256"
    assert len(keys) == 1
    assert "d" not in keys[0], "the private half must never be published"
    key = jwt.PyJWK(keys[0]).key
    assert jwt.decode(client.token, key, algorithms=["ES256"], audience="muckard-api")["roles"] == ["trader"]


def test_the_kraken_service_refuses_a_token_signed_by_another_key(log_in: LogIn) -> None:
    client = log_in()
    forged = PlatformClient(
        client.base_url, jwt.encode(_claims(client), ec.generate_private_key(ec.SECP256R1()), "ES256")
    )

    with pytest.raises(SmokeTestFailed, match=r"401.*invalid_token"):
        forged.get("/api/v1/bot")


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_the_kraken_service_refuses_a_token_that_chose_its_own_algorithm(log_in: LogIn, algorithm: str) -> None:
    client = log_in()
    key = client.get("/.well-known/jwks.json")["keys"][0]["x"] if algorithm == "HS256" else ""
    forged = PlatformClient(client.base_url, jwt.encode(_claims(client), key, algorithm))

    with pytest.raises(SmokeTestFailed, match=r"401.*invalid_token"):
        forged.get("/api/v1/bot")


def test_an_expired_token_is_refused(log_in: LogIn) -> None:
    expiry = _claims(log_in())["exp"]
    assert isinstance(expiry, int)
    assert datetime.fromtimestamp(expiry, UTC) - datetime.now(UTC) < timedelta(minutes=15)


def test_another_trader_s_bot_is_not_there(log_in: LogIn) -> None:
    owner, stranger = log_in(), log_in()
    key = owner.post("/api/v1/kraken/connect", {"label": "mine", "mode": "paper"})
    bot = owner.post(
        "/api/v1/bot",
        {
            "name": "mine",
            "credential_id": key["id"],
            "pair": "XBTUSD",
            "strategy": "sma_cross",
            "parameters": {},
            "interval_minutes": 60,
            "quote_budget": "100",
        },
    )

    for path in (f"/api/v1/bot/{bot['id']}", f"/api/v1/bot/{bot['id']}/status", f"/api/v1/kraken/keys/{key['id']}"):
        assert owner.get(path)
        with pytest.raises(SmokeTestFailed, match=r"404.*not_found"):
            stranger.get(path)
    with pytest.raises(SmokeTestFailed, match=r"404.*not_found"):
        stranger.post(f"/api/v1/bot/{bot['id']}/start")


def test_the_same_idempotency_key_connects_one_account(log_in: LogIn) -> None:
    client = log_in()
    headers = {"Authorization": f"Bearer {client.token}", "Idempotency-Key": uuid4().hex}
    address = f"{client.base_url}/api/v1/kraken/connect"
    answers = [
        requests.post(address, json={"label": "once", "mode": "paper"}, headers=headers, timeout=15) for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert len(client.get("/api/v1/kraken/keys")["results"]) == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/metrics", 404),
        ("/api/v1/nothing", 404),
        ("/health", 200),
        ("/api/schema/user/", 401),
        ("/api/docs/kraken/", 302),
        ("/flower/", 302),
        ("/flower/metrics", 404),
    ],
)
def test_what_the_gateway_routes(platform_url: str, path: str, status: int) -> None:
    answer = requests.get(f"{platform_url}{path}", timeout=15, allow_redirects=False)

    assert answer.status_code == status
    assert answer.headers["X-Request-ID"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_generator_gets_the_document_with_a_token(platform_url: str, log_in: LogIn) -> None:
    headers = {"Authorization": f"Bearer {log_in().token}"}

    answer = requests.get(f"{platform_url}/api/schema/kraken/?format=json", headers=headers, timeout=15)

    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")
