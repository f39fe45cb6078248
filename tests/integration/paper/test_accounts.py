"""The platform's own endpoint: opening accounts with a service token."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from apps.core import service_token
from apps.paper.models import Account, LedgerEntry
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
