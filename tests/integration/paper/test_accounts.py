"""The platform's own endpoint: opening accounts with a service token."""

import base64
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from django.test import Client
from pydantic import SecretStr
from pytest_django import Settings

from apps.core.identity import service_token
from apps.paper.models import Account, LedgerEntry
from tests.factories.service_tokens import call_as, key_pair
from tests.integration.paper.wire import Wire

pytestmark = [pytest.mark.django_db, pytest.mark.urls("paper_exchange.urls"), pytest.mark.usefixtures("flat_market")]

Post = Callable[..., Any]


@pytest.fixture
def post(client: Client) -> Post:
    def send(body: Any, *, token: str | None = None) -> Any:
        token = service_token.mint(audience="paper") if token is None else token
        headers = {"Authorization": f"Bearer {token}"}
        return client.post("/paper/accounts", body, content_type="application/json", headers=headers)

    return send


def _body(**changes: Any) -> dict[str, Any]:
    return {"owner_id": str(uuid4()), "label": "demo", "deposits": {"ZUSD": "10000", "BTC": "0.5"}, **changes}


def test_an_account_comes_with_its_deposits_and_a_key_that_works(client: Client, post: Post) -> None:
    response = post(_body())
    opened = response.json()

    assert response.status_code == 201
    assert set(opened) == {"account_id", "api_key", "api_secret", "permissions"}
    assert "withdraw-funds" not in opened["permissions"]
    account = Account.objects.get(id=opened["account_id"])
    wire = Wire(client, opened["api_key"], opened["api_secret"])
    assert wire.call("Balance") == {"XXBT": "0.5000000000", "ZUSD": "10000.0000"}
    assert {entry.kind for entry in LedgerEntry.objects.filter(account=account)} == {"deposit"}


def test_asked_twice_it_is_opened_once(post: Post) -> None:
    body = _body()
    first = post(body)
    second = post({**body, "deposits": {"ZUSD": "99"}})

    assert (second.status_code, second.json()) == (201, first.json())
    assert LedgerEntry.objects.count() == 2


def test_another_label_is_another_account(post: Post) -> None:
    body = _body()
    post(body)
    post({**body, "label": "second"})

    assert Account.objects.count() == 2


def test_the_fee_schedule_can_be_chosen(post: Post) -> None:
    post(_body(fee_schedule="free"))

    assert Account.objects.get().fee_schedule == "free"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"owner_id": "me"}, 400, "malformed"),
        ({"deposits": {"ZUSD": "-1"}}, 400, "malformed"),
        ({"deposits": {"ZUSD": "1e30"}}, 400, "malformed"),
        ({"deposits": {"ZUSD": "nan"}}, 400, "malformed"),
        ({"deposits": [1]}, 400, "wrong_type"),
        ({"fee_schedule": "generous"}, 400, "malformed"),
        ({"deposits": {"GOLD": "1"}}, 422, "unknown_asset"),
    ],
)
def test_what_is_wrong_is_said_and_opens_nothing(post: Post, changes: dict[str, Any], status: int, code: str) -> None:
    response = post(_body(**changes))

    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert Account.objects.count() == 0


@pytest.mark.parametrize("token", ["", "nonsense"])
def test_without_a_service_token_nothing_is_opened(post: Post, token: str) -> None:
    assert post(_body(), token=token).status_code == 401
    assert Account.objects.count() == 0


def test_a_token_for_another_service_is_refused(post: Post) -> None:
    assert post(_body(), token=service_token.mint(audience="kraken")).status_code == 401


def test_a_service_cannot_pass_for_another(post: Post, settings: Settings) -> None:
    call_as(settings, "bot")
    settings.SERVICE = "kraken"

    assert post(_body()).status_code == 401
    assert Account.objects.count() == 0


def test_a_service_whose_public_key_is_not_there_is_not_known(post: Post, settings: Settings) -> None:
    call_as(settings, "bot")
    assert post(_body()).status_code == 201
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"service_public_key_bot": None})

    assert post(_body()).status_code == 401


def test_while_a_key_replaces_another_both_are_good(post: Post, settings: Settings) -> None:
    both = "\n".join(key_pair(service)[1] for service in ("kraken", "successor"))
    for service in ("kraken", "successor"):
        call_as(settings, service)
        settings.SERVICE = "kraken"
        settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"service_public_key_kraken": SecretStr(both)})

        assert post(_body()).status_code == 201


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "admin"},
        {"role": None},
        {"jti": None},
        {"iat": None},
        {"exp": None},
        {"exp": NOW + timedelta(days=1)},
        {"exp": NOW - timedelta(minutes=5), "iat": NOW - timedelta(minutes=6)},
        {"iss": None},
        {"iss": 7},
        {"iss": "nobody"},
        {"iss": "user"},
        {"iss": "../kraken"},
        {"aud": ["paper", "kraken"]},
        {"aud": None},
    ],
    ids=str,
)
def test_a_token_that_says_something_else_is_refused(post: Post, changes: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    good = {
        "iss": "kraken",
        "aud": "paper",
        "iat": now,
        "exp": now + service_token.LIFETIME,
        "jti": uuid4().hex,
        "role": "service",
    }
    private = key_pair("kraken")[0]
    assert post(_body(), token=jwt.encode(good, private, algorithm="ES256")).status_code == 201

    claims = {name: value for name, value in {**good, **changes}.items() if value is not None}
    token = jwt.api_jws.encode(_as_json(claims), private, algorithm="ES256")

    assert post(_body(), token=token).status_code == 401


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_the_public_key_is_no_shared_secret(post: Post, algorithm: str) -> None:
    now = datetime.now(UTC)
    claims = {"iss": "kraken", "aud": "paper", "iat": now, "exp": now + service_token.LIFETIME, "jti": "x" * 32}
    header = {"alg": algorithm, "typ": "JWT"}
    signed = b".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=")
        for part in (json.dumps(header).encode(), _as_json({**claims, "role": "service"}))
    )
    digest = hmac.new(key_pair("kraken")[1].encode(), signed, "sha256").digest() if algorithm == "HS256" else b""
    token = signed + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")

    assert post(_body(), token=token.decode()).status_code == 401


def test_a_user_token_is_no_service_token(post: Post, settings: Settings) -> None:
    pem = key_pair("kraken")[0]
    claims = {"iss": "muckard", "aud": "muckard-api", "exp": NOW + timedelta(days=1), "roles": ["service"]}

    assert post(_body(), token=jwt.encode(claims, pem, algorithm="ES256")).status_code == 401


def _as_json(claims: dict[str, Any]) -> bytes:
    times = {name: int(value.timestamp()) for name, value in claims.items() if isinstance(value, datetime)}
    return json.dumps({**claims, **times}).encode()
