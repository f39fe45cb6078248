"""Connected keys: visible to their owner only, renamed, verified, rotated, disconnected."""

import json
import threading
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from rest_framework.test import APIClient

from apps.core.errors import NotFound
from apps.core.terms import Mode
from apps.events.models import StoredEvent
from apps.exchange import errors as failures
from apps.exchange.errors import KeySuspended
from apps.exchange.types import KeyInfo
from apps.risk.selectors import halt_strictest
from apps.vault.models import Credential
from apps.vault.selectors import credential_open
from apps.vault.services.keys import credential_disconnect
from tests.factories.fake_account import ALL_PERMISSIONS
from tests.factories.fake_exchange import FakeExchange
from tests.factories.vault import API_SECRET, NOW, api_key, client_of, stored_credential

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

KEYS = "/api/v1/kraken/keys"


def _published() -> list[tuple[str, dict[str, Any]]]:
    """What was said of keys, in order."""
    rows = StoredEvent.objects.exclude(aggregate_type="halt").order_by("recorded_at")
    return [(row.event_type, json.loads(bytes(row.payload))) for row in rows]


def test_a_list_has_the_users_connected_keys_newest_first(client: APIClient, user_id: UUID) -> None:
    ids = [str(stored_credential(user_id=user_id, label=f"Key {number}").id) for number in range(3)]
    stored_credential(label="Another's")
    gone = stored_credential(user_id=user_id, label="Gone")
    credential_disconnect(credential_id=gone.id, user_id=user_id, reason="test", now=NOW)

    page = client.get(KEYS, {"limit": 2}).json()

    assert [key["id"] for key in page["results"]] == [ids[2], ids[1]]
    assert [key["id"] for key in client.get(page["next"]).json()["results"]] == [ids[0]]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("get", "", None),
        ("patch", "", {"label": "Mine"}),
        ("delete", "", None),
        ("post", "/test", None),
        ("post", "/rotate", {"api_key": "k", "api_secret": API_SECRET}),
        ("get", "/balances", None),
    ],
)
@pytest.mark.usefixtures("fake")
def test_anothers_key_is_not_there(client: APIClient, method: str, path: str, body: dict[str, str] | None) -> None:
    credential = stored_credential(mode=Mode.LIVE)

    response = getattr(client, method)(f"{KEYS}/{credential.id}{path}", body, format="json")

    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
    assert Credential.objects.get().state == Credential.State.ACTIVE
    assert _published() == []


def test_a_key_is_shown_without_its_secret(client: APIClient, user_id: UUID) -> None:
    credential = stored_credential(user_id=user_id)

    body = client.get(f"{KEYS}/{credential.id}").json()

    assert set(body) == {
        "id",
        "label",
        "mode",
        "state",
        "key_hint",
        "permissions",
        "ip_allowlist",
        "nonce_window",
        "expires_at",
        "warnings",
        "created_at",
        "tested_at",
        "last_error",
    }


def test_a_key_is_renamed_once_and_told(client: APIClient, user_id: UUID) -> None:
    credential = stored_credential(user_id=user_id)

    for _ in range(2):
        response = client.patch(f"{KEYS}/{credential.id}", {"label": "Savings"}, format="json")

    assert response.json()["label"] == "Savings"
    assert [(name, payload["changed"]) for name, payload in _published()] == [("kraken.key.updated", ["label"])]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}])
def test_a_name_that_is_taken_is_a_conflict(client: APIClient, user_id: UUID, headers: dict[str, str]) -> None:
    stored_credential(user_id=user_id, label="Savings")
    credential = stored_credential(user_id=user_id)

    response = client.patch(f"{KEYS}/{credential.id}", {"label": "savings"}, format="json", headers=headers)

    assert (response.status_code, response.json()["error"]["code"]) == (409, "label_taken")
    assert _published() == []


def test_the_mode_of_a_key_cannot_be_asked_to_change(client: APIClient, user_id: UUID) -> None:
    credential = stored_credential(user_id=user_id)

    response = client.patch(f"{KEYS}/{credential.id}", {"label": "x", "mode": "live"}, format="json")

    error = response.json()["error"]
    assert (response.status_code, error["code"], error["details"]["field"]) == (422, "field_is_immutable", "mode")
    assert error["message"].startswith("The field mode cannot be changed by this call. Leave it out. Connect a key")
    after = Credential.objects.get()
    assert (after.mode, after.label) == ("paper", credential.label)


@pytest.mark.parametrize("field", ["api_key", "api_secret", "state", "id", "key_hint", "permissions"])
def test_what_a_key_is_cannot_be_changed_by_its_renaming(client: APIClient, user_id: UUID, field: str) -> None:
    credential = stored_credential(user_id=user_id)

    response = client.patch(f"{KEYS}/{credential.id}", {"label": "x", field: "y"}, format="json")

    error = response.json()["error"]
    assert (response.status_code, error["code"], error["details"]["field"]) == (422, "field_is_immutable", field)
    assert ("how" in error["details"]) == (field in ("api_key", "api_secret", "state"))
    assert Credential.objects.get().label == credential.label


def test_a_disconnected_key_is_gone_with_its_secret_and_its_name_is_free(client: APIClient, user_id: UUID) -> None:
    credential = stored_credential(user_id=user_id)

    assert client.delete(f"{KEYS}/{credential.id}").status_code == 204

    row = Credential.objects.get()
    assert (row.state, row.ciphertext, row.nonce, row.wrapped_key) == ("disconnected", None, None, None)
    assert [(name, payload["credential_id"]) for name, payload in _published()] == [
        ("kraken.key.disconnected", str(credential.id))
    ]
    assert client.get(f"{KEYS}/{credential.id}").status_code == 404
    assert client.delete(f"{KEYS}/{credential.id}").status_code == 404
    with pytest.raises(NotFound):
        credential_open(credential_id=credential.id, user_id=user_id, even_suspended=True)
    stored_credential(user_id=user_id)


@pytest.mark.django_db(transaction=True)
def test_a_key_disconnected_by_two_at_once_is_disconnected_once(user_id: UUID) -> None:
    credential = stored_credential(user_id=user_id)
    outcomes: list[str] = []

    def disconnect() -> None:
        try:
            credential_disconnect(credential_id=credential.id, user_id=user_id, reason="test", now=NOW)
            outcomes.append("done")
        except NotFound:
            outcomes.append("not found")
        finally:
            connection.close()

    threads = [threading.Thread(target=disconnect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["done", "not found", "not found", "not found"]
    halt = halt_strictest(bot_id=uuid4(), credential_id=credential.id, user_id=user_id)
    assert halt is not None
    assert (halt.level, halt.code) == ("halted", "key_disconnected")
    assert len(_published()) == 1


@pytest.mark.django_db(transaction=True)
def test_a_good_test_renews_the_passport_and_tells_what_changed(
    client: APIClient, fake: FakeExchange, user_id: UUID
) -> None:
    credential = stored_credential(user_id=user_id, permissions=["query-funds"])
    fake.key = KeyInfo(permissions=ALL_PERMISSIONS, ip_allowlist=("10.0.0.1",))

    body = client.post(f"{KEYS}/{credential.id}/test").json()

    assert (body["permissions"], body["ip_allowlist"]) == (sorted(ALL_PERMISSIONS), ["10.0.0.1"])
    assert body["tested_at"] != body["created_at"]
    (checked, answer), (name, payload) = _published()
    assert (checked, answer["permissions"]) == ("kraken.key.checked", sorted(ALL_PERMISSIONS))
    assert (name, payload["changed"]) == ("kraken.key.updated", ["permissions", "ip_allowlist"])


def test_a_test_that_finds_nothing_new_tells_only_that_there_was_one(
    client: APIClient, fake: FakeExchange, user_id: UUID
) -> None:
    credential = stored_credential(user_id=user_id)

    assert client.post(f"{KEYS}/{credential.id}/test").status_code == 200
    assert [name for name, _ in _published()] == ["kraken.key.checked"]


@pytest.mark.parametrize(
    "error", [failures.KeyInvalid("Revoked."), failures.KeyLocked("Locked."), failures.NonceRefused("Elsewhere.")]
)
def test_a_failed_test_suspends_the_key_until_one_passes(
    client: APIClient, fake: FakeExchange, user_id: UUID, error: failures.ExchangeRefused
) -> None:
    credential = stored_credential(user_id=user_id)
    fake.fail_reads(error)

    response = client.post(f"{KEYS}/{credential.id}/test")

    assert (response.status_code, response.json()["error"]["code"]) == (422, error.code)
    assert client.get(f"{KEYS}/{credential.id}").json()["last_error"] == error.message
    assert [name for name, _ in _published()] == ["kraken.key.updated", "kraken.key.test.failed"]
    assert _published()[1][1]["credential_id"] == str(credential.id)
    with pytest.raises(KeySuspended):
        credential_open(credential_id=credential.id, user_id=user_id)
    assert client.get(f"{KEYS}/{credential.id}/balances").json()["error"]["code"] == "key_suspended"

    assert client.post(f"{KEYS}/{credential.id}/test").json()["state"] == "active"
    assert _published()[-1][1]["changed"] == ["state"]


@pytest.mark.django_db(transaction=True)
def test_a_key_that_was_given_the_right_to_withdraw_is_suspended(
    client: APIClient, fake: FakeExchange, user_id: UUID
) -> None:
    credential = stored_credential(user_id=user_id, mode=Mode.LIVE)
    fake.key = KeyInfo(permissions=ALL_PERMISSIONS | {"withdraw-funds"})

    assert client.post(f"{KEYS}/{credential.id}/test").status_code == 422
    assert Credential.objects.get().state == "suspended"


def test_a_refusal_that_is_not_about_the_key_suspends_nothing(
    client: APIClient, fake: FakeExchange, user_id: UUID
) -> None:
    credential = stored_credential(user_id=user_id)
    fake.fail_reads(failures.ExchangeRefused("EGeneral:Something new"))

    assert client.post(f"{KEYS}/{credential.id}/test").status_code == 422
    assert Credential.objects.get().state == "active"
    assert [name for name, _ in _published()] == ["kraken.key.test.failed"]


def test_no_answer_changes_nothing(client: APIClient, fake: FakeExchange, user_id: UUID) -> None:
    credential = stored_credential(user_id=user_id)
    fake.fail_reads(failures.ExchangeUnavailable("Down."))

    assert client.post(f"{KEYS}/{credential.id}/test").status_code == 503
    row = Credential.objects.get()
    assert (row.state, row.tested_at) == ("active", NOW)
    assert _published() == []


@pytest.mark.django_db(transaction=True)
def test_a_live_key_is_replaced_by_a_tested_one(client: APIClient, fake: FakeExchange, user_id: UUID) -> None:
    credential = stored_credential(user_id=user_id, mode=Mode.LIVE)
    new = api_key()

    response = client.post(f"{KEYS}/{credential.id}/rotate", {"api_key": new, "api_secret": API_SECRET}, format="json")

    assert response.status_code == 200
    assert response.json()["key_hint"] == new[-4:]
    assert credential_open(credential_id=credential.id, user_id=user_id).api_key == new
    ((name, payload),) = _published()
    assert (name, payload["changed"][0]) == ("kraken.key.updated", "key")


def test_a_new_key_that_fails_its_test_leaves_the_old_one_in_use(
    client: APIClient, fake: FakeExchange, user_id: UUID
) -> None:
    credential = stored_credential(user_id=user_id, mode=Mode.LIVE)
    old = credential_open(credential_id=credential.id, user_id=user_id).api_key
    fake.key = KeyInfo(permissions=ALL_PERMISSIONS | {"withdraw-funds"})

    response = client.post(
        f"{KEYS}/{credential.id}/rotate", {"api_key": api_key(), "api_secret": API_SECRET}, format="json"
    )

    assert response.json()["error"]["code"] == "key_may_withdraw"
    assert credential_open(credential_id=credential.id, user_id=user_id).api_key == old
    assert [name for name, _ in _published()] == ["kraken.key.test.failed"]


def test_a_key_cannot_be_rotated_to_one_that_is_connected(client: APIClient, fake: FakeExchange, user_id: UUID) -> None:
    credential, other = stored_credential(user_id=user_id, mode=Mode.LIVE), stored_credential(mode=Mode.LIVE)
    taken = credential_open(credential_id=other.id, user_id=other.user_id).api_key

    response = client.post(
        f"{KEYS}/{credential.id}/rotate", {"api_key": taken, "api_secret": API_SECRET}, format="json"
    )
    assert (response.status_code, response.json()["error"]["code"]) == (409, "key_already_connected")


@pytest.mark.usefixtures("fake")
def test_a_paper_key_is_not_rotated(client: APIClient, user_id: UUID) -> None:
    credential = stored_credential(user_id=user_id)

    response = client.post(
        f"{KEYS}/{credential.id}/rotate", {"api_key": api_key(), "api_secret": API_SECRET}, format="json"
    )
    assert (response.status_code, response.json()["error"]["code"]) == (422, "paper_key_not_rotatable")


def test_a_result_is_not_written_to_a_key_that_was_rotated_meanwhile(
    client: APIClient, fake: FakeExchange, user_id: UUID
) -> None:
    credential = stored_credential(user_id=user_id, mode=Mode.LIVE)

    def rotated_meanwhile() -> None:
        Credential.objects.update(key_digest="0" * 64)
        raise failures.KeyInvalid("The old one is revoked.")

    fake.on("key_info", before=rotated_meanwhile)

    response = client.post(f"{KEYS}/{credential.id}/test")

    assert (response.status_code, response.json()["error"]["code"]) == (409, "key_changed_meanwhile")
    assert Credential.objects.get().state == "active"


def test_balances_say_what_is_held_and_what_is_free(client: APIClient, fake: FakeExchange, user_id: UUID) -> None:
    credential = stored_credential(user_id=user_id)
    fake.totals = {"ZUSD": fake.totals["ZUSD"]}

    body = client.get(f"{KEYS}/{credential.id}/balances").json()

    assert body["balances"] == [{"asset": "ZUSD", "total": "10000", "held": "0", "free": "10000"}]
    assert (body["mode"], body["as_of"][:4].isdigit()) == ("paper", True)


def test_balances_of_a_revoked_key_suspend_it(client: APIClient, fake: FakeExchange, user_id: UUID) -> None:
    credential = stored_credential(user_id=user_id)
    fake.fail_reads(failures.KeyInvalid("Revoked."))

    assert client.get(f"{KEYS}/{credential.id}/balances").status_code == 422
    assert Credential.objects.get().state == "suspended"


def test_only_traders_see_keys(user_id: UUID) -> None:
    assert client_of(user_id, "support").get(KEYS).status_code == 403
    assert APIClient().get(f"{KEYS}/{uuid4()}").status_code == 401
