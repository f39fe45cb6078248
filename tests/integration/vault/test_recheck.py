"""Keys are tested again before a start and daily: what is proved bad is suspended, the rest becomes a warning."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.core.terms import Mode
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.store.selectors import stream_page
from apps.exchange.errors import ExchangeUnavailable
from apps.vault.consumers import KEYS
from apps.vault.models import Credential
from apps.vault.services.recheck import KeyChecker, credential_due
from tests.factories.bots import BotFactory
from tests.factories.fake_account import ALL_PERMISSIONS
from tests.factories.fake_exchange import FakeExchange
from tests.factories.vault import stored_credential

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("kraken_service.urls")]

load_consumers()


def checked(credential: Credential) -> None:
    """Delivers what the checker published of the key."""
    page = stream_page(aggregate_type="credential", aggregate_id=credential.id, before_seq=None, limit=9)
    for envelope in page:
        if envelope.event_type == "kraken.key.checked":
            assert deliver(envelope, group=KEYS)
    credential.refresh_from_db()


def start(client: APIClient, credential: Credential) -> tuple[int, str]:
    bot = BotFactory.create(user_id=credential.user_id, credential_id=credential.id, mode=credential.mode)
    answer = client.post(f"/api/v1/bot/{bot.id}/start")
    return answer.status_code, answer.json().get("error", {}).get("code", "")


def test_the_daily_check_renews_what_is_known_of_a_key(fake: FakeExchange) -> None:
    credential = stored_credential(permissions=("query-funds",))
    fake.key = replace(fake.key, nonce_window=7)

    assert KeyChecker().step() == KeyChecker.STEP_SECONDS

    checked(credential)
    assert (set(credential.permissions), credential.nonce_window) == (set(ALL_PERMISSIONS), 7)
    assert timezone.now() - credential.tested_at < timedelta(minutes=1)
    assert credential_due(now=timezone.now(), skip=()) is None


def test_one_key_a_step_and_none_twice_while_its_answer_is_on_its_way(fake: FakeExchange) -> None:
    for number in range(3):
        stored_credential(label=f"Key {number}")
    checker = KeyChecker()

    steps = [checker.step() for _ in range(4)]

    assert steps == [*[KeyChecker.STEP_SECONDS] * 3, KeyChecker.IDLE_SECONDS]
    assert fake.calls.count("key_info") == 3


@pytest.mark.parametrize("bad", ["withdraw", "expired", "unknown"])
def test_a_key_that_is_proved_bad_is_suspended(fake: FakeExchange, bad: str) -> None:
    stored_credential()
    changes = {
        "withdraw": {"permissions": frozenset({*ALL_PERMISSIONS, "withdraw-funds"})},
        "expired": {"expires_at": timezone.now() - timedelta(minutes=1)},
        "unknown": {"permissions": None},
    }
    fake.key = replace(fake.key, **changes[bad])  # type: ignore[arg-type]

    KeyChecker().step()

    codes = {"withdraw": "key_may_withdraw", "expired": "key_expired", "unknown": "key_rights_unknown"}
    assert [error.code for error in fake.suspended_for] == [codes[bad]]


def test_without_an_answer_nothing_changes(fake: FakeExchange) -> None:
    credential = stored_credential()
    before = credential.tested_at
    fake.fail_reads(ExchangeUnavailable("no"))

    assert KeyChecker().step() == KeyChecker.STEP_SECONDS

    credential.refresh_from_db()
    assert (credential.tested_at, credential.state, fake.suspended_for) == (before, "active", [])


def test_a_check_from_before_a_newer_test_changes_nothing(fake: FakeExchange) -> None:
    credential = stored_credential(permissions=("query-funds",))
    KeyChecker().step()
    Credential.objects.update(tested_at=timezone.now() + timedelta(minutes=1))

    checked(credential)

    assert credential.permissions == ["query-funds"]


@pytest.mark.parametrize("mode", [Mode.PAPER, Mode.LIVE])
def test_a_start_with_a_key_that_lacks_rights_now_is_refused(
    client: APIClient, fake: FakeExchange, user_id: UUID, mode: Mode
) -> None:
    credential = stored_credential(user_id=user_id, mode=mode)
    fake.key = replace(fake.key, permissions=frozenset({"query-funds"}))

    assert start(client, credential) == (422, "key_lacks_rights")


def test_a_start_with_a_key_that_may_withdraw_now_suspends_it(
    client: APIClient, fake: FakeExchange, user_id: UUID
) -> None:
    credential = stored_credential(user_id=user_id, mode=Mode.LIVE)
    fake.key = replace(fake.key, permissions=frozenset({*ALL_PERMISSIONS, "withdraw-funds"}))

    assert start(client, credential) == (422, "key_may_withdraw")

    credential.refresh_from_db()
    assert credential.state == "suspended"


def test_a_live_start_needs_an_answer_about_the_key(client: APIClient, fake: FakeExchange, user_id: UUID) -> None:
    credential = stored_credential(user_id=user_id, mode=Mode.LIVE)
    fake.fail_reads(ExchangeUnavailable("no"))

    assert start(client, credential) == (503, "exchange_unavailable")


def test_a_paper_key_that_was_tested_today_is_not_tested_again(
    client: APIClient, fake: FakeExchange, user_id: UUID
) -> None:
    credential = stored_credential(user_id=user_id)
    Credential.objects.update(tested_at=timezone.now() - timedelta(hours=23))

    start(client, credential)

    assert "key_info" not in fake.calls


def test_the_owner_is_warned_before_a_key_expires(client: APIClient, user_id: UUID) -> None:
    credential = stored_credential(user_id=user_id, expires_at=timezone.now() + timedelta(days=13))

    warnings = client.get(f"/api/v1/kraken/keys/{credential.id}").json()["warnings"]

    assert any("expires at" in warning for warning in warnings)
