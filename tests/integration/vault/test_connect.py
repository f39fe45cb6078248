"""Connect: a key is verified first, refused if dangerous, stored encrypted, and published in the same transaction."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from rest_framework.test import APIClient

from apps.core.models import IdempotencyRecord
from apps.events.models import OutboxRow, StoredEvent
from apps.exchange import errors as failures
from apps.exchange.models import ExchangeNonce
from apps.exchange.nonce import signing_turn
from apps.exchange.paper_account import PaperAccount
from apps.exchange.types import KeyInfo
from apps.vault.models import Credential
from apps.vault.selectors import credential_open
from apps.vault.services import connect
from tests.factories.fake_account import ALL_PERMISSIONS
from tests.factories.fake_exchange import FakeExchange
from tests.factories.vault import API_SECRET, api_key, client_of, stored_credential

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

CONNECT = "/api/v1/kraken/connect"


def _live(label: str = "Main", **more: str) -> dict[str, str]:
    return {"label": label, "mode": "live", "api_key": api_key(), "api_secret": API_SECRET, **more}


def _published() -> list[tuple[str, dict[str, Any]]]:
    return [(row.event_type, json.loads(bytes(row.payload))) for row in StoredEvent.objects.order_by("recorded_at")]


@pytest.fixture
def paper_accounts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The accounts opened on the paper exchange."""
    opened: list[dict[str, Any]] = []

    def open_account(**wanted: Any) -> PaperAccount:
        opened.append({**wanted, "in_transaction": connection.in_atomic_block})
        return PaperAccount(uuid4(), api_key(), API_SECRET)

    monkeypatch.setattr(connect, "paper_account_open", open_account)
    return opened


@pytest.mark.django_db(transaction=True)
def test_a_live_key_is_connected_with_its_passport(client: APIClient, fake: FakeExchange, user_id: UUID) -> None:
    fake.key = KeyInfo(
        permissions=ALL_PERMISSIONS, ip_allowlist=("10.0.0.1",), expires_at=datetime(2027, 1, 1, tzinfo=UTC)
    )
    body = _live()

    response = client.post(CONNECT, body, format="json")

    assert response.status_code == 201
    key_info = response.json()
    assert response["Location"] == f"/api/v1/kraken/keys/{key_info['id']}"
    assert key_info["key_hint"] == body["api_key"][-4:]
    assert (key_info["mode"], key_info["state"], key_info["label"]) == ("live", "active", "Main")
    assert key_info["permissions"] == sorted(ALL_PERMISSIONS)
    assert key_info["ip_allowlist"] == ["10.0.0.1"]
    assert key_info["expires_at"] == "2027-01-01T00:00:00Z"
    assert key_info["warnings"] == []
    opened = credential_open(credential_id=UUID(key_info["id"]), user_id=user_id)
    assert (opened.api_key, opened.api_secret, opened.mode) == (body["api_key"], API_SECRET, "live")


@pytest.mark.django_db(transaction=True)
def test_the_row_and_its_announcement_commit_together(
    client: APIClient, fake: FakeExchange, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = client.post(CONNECT, _live(), format="json")

    assert _published() == [
        (
            "kraken.key.connected",
            {
                "credential_id": response.json()["id"],
                "user_id": str(user_id),
                "mode": "live",
                "permissions": sorted(ALL_PERMISSIONS),
                "expires_at": None,
            },
        )
    ]
    assert ("kafka", "kraken.events") in OutboxRow.objects.values_list("transport", "destination")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(connect, "publish", fail)
    assert client.post(CONNECT, _live("Other"), format="json").status_code == 500
    assert Credential.objects.count() == 1


def test_what_should_be_changed_about_a_key_is_said(client: APIClient, fake: FakeExchange) -> None:
    fake.key = KeyInfo(permissions=frozenset({"query-funds"}), nonce_window=1000)

    warnings = client.post(CONNECT, _live(), format="json").json()["warnings"]

    assert len(warnings) == 3
    assert "lacks query-open-trades" in warnings[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("right", ["withdraw-funds", "add-withdraw-address", "update-withdraw-address"])
def test_a_key_that_may_withdraw_is_refused_by_name_and_announced(
    client: APIClient, fake: FakeExchange, user_id: UUID, right: str
) -> None:
    fake.key = KeyInfo(permissions=ALL_PERMISSIONS | {right})

    response = client.post(CONNECT, _live(), format="json")

    assert response.status_code == 422
    error = response.json()["error"]
    assert (error["code"], error["details"]) == ("key_may_withdraw", {"rights": [right]})
    assert right in error["message"]
    assert Credential.objects.count() == 0
    ((name, payload),) = _published()
    assert name == "kraken.key.test.failed"
    assert (payload["code"], payload["credential_id"], payload["user_id"]) == ("key_may_withdraw", None, str(user_id))
    assert set(OutboxRow.objects.values_list("transport", flat=True)) == {"rabbitmq", "kafka"}


def test_a_key_whose_rights_the_exchange_does_not_tell_is_refused(client: APIClient, fake: FakeExchange) -> None:
    fake.key = KeyInfo(permissions=None)

    assert client.post(CONNECT, _live(), format="json").json()["error"]["code"] == "key_rights_unknown"
    assert Credential.objects.count() == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (failures.KeyInvalid("The exchange does not know this key."), "exchange_key_invalid"),
        (failures.KeyLocked("Locked."), "exchange_key_locked"),
        (failures.NonceRefused("Used elsewhere."), "exchange_nonce_refused"),
        (failures.ExchangeRefused("No."), "exchange_refused"),
    ],
)
def test_a_key_that_the_exchange_refuses_is_refused_and_announced(
    client: APIClient, fake: FakeExchange, error: Exception, code: str
) -> None:
    fake.fail_reads(error)

    response = client.post(CONNECT, _live(), format="json")

    assert (response.status_code, response.json()["error"]["code"]) == (422, code)
    assert [name for name, _ in _published()] == ["kraken.key.test.failed"]
    assert Credential.objects.count() == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (failures.ExchangeUnavailable("It does not answer."), 503),
        (failures.NotSent("Nobody there."), 503),
        (failures.ExchangeRateLimited("Too many.", retry_after_seconds=10), 429),
    ],
)
def test_no_answer_says_nothing_of_the_key(
    client: APIClient, fake: FakeExchange, error: Exception, status: int
) -> None:
    fake.fail_reads(error)

    response = client.post(CONNECT, _live(), format="json")

    assert response.status_code == status
    assert _published() == []
    assert Credential.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_refused_key_leaves_no_nonce_behind(client: APIClient, fake: FakeExchange) -> None:
    body = _live()

    def asked_and_refused() -> None:
        with signing_turn(body["api_key"]):
            raise failures.KeyInvalid("No.")

    fake.on("key_info", before=asked_and_refused)

    client.post(CONNECT, body, format="json")

    assert ExchangeNonce.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_paper_account_is_opened_and_its_key_connected(
    client: APIClient, fake: FakeExchange, user_id: UUID, paper_accounts: list[dict[str, Any]]
) -> None:
    response = client.post(CONNECT, {"label": "Play", "mode": "paper"}, format="json")

    assert response.status_code == 201
    assert response.json()["mode"] == "paper"
    (account,) = paper_accounts
    assert account["owner_id"] == user_id
    assert account["in_transaction"] is False
    assert account["label"] == f"Play {response.json()['id']}"
    assert [name for name, _ in _published()] == ["kraken.key.connected"]


@pytest.mark.django_db(transaction=True)
def test_a_repeated_request_opens_one_account(
    client: APIClient, fake: FakeExchange, paper_accounts: list[dict[str, Any]]
) -> None:
    answers = [
        client.post(CONNECT, {"label": "Play", "mode": "paper"}, format="json", headers={"Idempotency-Key": "once"})
        for _ in range(2)
    ]

    assert answers[0].json() == answers[1].json()
    assert answers[1]["Idempotency-Replayed"] == "true"
    assert len(paper_accounts) == Credential.objects.count() == 1


def test_a_label_is_the_users_own_and_asked_for_before_any_exchange(
    client: APIClient, fake: FakeExchange, user_id: UUID, paper_accounts: list[dict[str, Any]]
) -> None:
    stored_credential(user_id=user_id, label="main")
    stored_credential(label="Other")

    assert client.post(CONNECT, {"label": "Main", "mode": "paper"}, format="json").json()["error"]["code"] == (
        "label_taken"
    )
    assert paper_accounts == []
    assert client.post(CONNECT, {"label": "Other", "mode": "paper"}, format="json").status_code == 201


def test_two_connections_of_one_label_at_once_end_with_one(
    client: APIClient, fake: FakeExchange, user_id: UUID
) -> None:
    fake.on("key_info", before=lambda: stored_credential(user_id=user_id, label="Main"))

    response = client.post(CONNECT, _live("MAIN"), format="json")

    assert (response.status_code, response.json()["error"]["code"]) == (409, "label_taken")
    assert Credential.objects.count() == 1
    assert _published() == []


def test_a_key_serves_one_connection_whoever_owns_it(client: APIClient, fake: FakeExchange) -> None:
    body = _live()
    assert client.post(CONNECT, body, format="json").status_code == 201
    fake.fail_reads(AssertionError("a connected key is not tried again"))

    again = client.post(CONNECT, {**body, "label": "Again"}, format="json")

    assert (again.status_code, again.json()["error"]["code"]) == (409, "key_already_connected")


def test_there_is_an_end_to_keys(
    client: APIClient, fake: FakeExchange, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "MAX_KEYS", 1)
    stored_credential(user_id=user_id)

    response = client.post(CONNECT, _live("Second"), format="json")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "too_many_keys")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"label": "x"},
        {"label": "", "mode": "paper"},
        {"label": "x" * 81, "mode": "paper"},
        {"label": "a\nb", "mode": "paper"},
        {"label": "x", "mode": "demo"},
        {"label": "x", "mode": "live"},
        {"label": "x", "mode": "live", "api_key": "k"},
        {"label": "x", "mode": "live", "api_secret": API_SECRET},
        {"label": "x", "mode": "live", "api_key": "k y", "api_secret": API_SECRET},
        {"label": "x", "mode": "live", "api_key": "k", "api_secret": "this is not base64 hush"},
        {"label": "x", "mode": "paper", "api_key": "k", "api_secret": API_SECRET},
        {"label": {"a": 1}, "mode": ["live"]},
    ],
)
def test_a_malformed_request_is_400_and_echoes_no_secret(
    client: APIClient, fake: FakeExchange, body: dict[str, Any]
) -> None:
    response = client.post(CONNECT, body, format="json")

    assert response.status_code == 400
    assert API_SECRET not in response.content.decode()
    assert "hush" not in response.content.decode()


def test_the_secret_is_nowhere_but_sealed(
    client: APIClient, fake: FakeExchange, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = _live()
    client.post(CONNECT, body, format="json", headers={"Idempotency-Key": "once"})
    fake.fail_reads(ZeroDivisionError("unexpected"))
    assert client.post(CONNECT, _live("Second"), format="json").status_code == 500

    row = Credential.objects.get()
    places = [
        caplog.text,
        repr(row),
        repr(vars(row)),
        repr(IdempotencyRecord.objects.values_list()),
        *(bytes(event.payload).decode() for event in StoredEvent.objects.all()),
        repr(credential_open(credential_id=row.id, user_id=row.user_id)),
    ]
    for place in places:
        assert API_SECRET not in place
        assert body["api_key"] not in place


@pytest.mark.usefixtures("fake")
def test_only_traders_connect_keys(user_id: UUID) -> None:
    assert client_of(user_id, "support").post(CONNECT, _live(), format="json").status_code == 403
    assert APIClient().post(CONNECT, _live(), format="json").status_code == 401
    assert Credential.objects.count() == 0
