"""A key that the exchange refuses is suspended at the first answer: one call, its bots end, its owner is told."""

import threading
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from apps.bots.adapters import credential_find
from apps.bots.consumers import ALERTS
from apps.bots.models import Alert
from apps.core.errors import PlatformError
from apps.events.commands.registry import execute
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.store.selectors import stream_page
from apps.exchange.errors import KeyInvalid, KeyLocked, KeySuspended, NotSent
from apps.exchange.models import ExchangeNonce
from apps.messages.bots import BotError, StartBot
from apps.messages.envelope import Envelope
from apps.messages.kraken import KrakenKeyTestFailed
from apps.paper.models import ApiKey
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.live import exchange_of
from apps.trading.services.orders.reconciliation import orders_reconcile
from apps.trading.services.runs.tick import TickOutcome, tick_run
from apps.vault.consumers import KEYS
from apps.vault.models import Credential
from apps.vault.services.verify import credential_verify
from tests.factories.exchange import OrderRequestFactory
from tests.factories.wire import Wire
from tests.integration.trading.conftest import start_now

pytestmark = pytest.mark.django_db(transaction=True)

load_consumers()


@pytest.fixture
def runs(settings: Settings, wire: Wire) -> list[BotRun]:
    """Five running bots on one key, with a wire that counts."""
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"paper_exchange_url": wire.url})
    first = start_now()
    commands = [first, *(another(first, number) for number in range(4))]
    assert [execute(command) for command in commands] == ["done"] * 5
    return list(BotRun.objects.order_by("started_at"))


def another(command: StartBot, number: int) -> StartBot:
    ids = {"command_id": UUID(int=number + 1), "bot_id": UUID(int=number + 100)}
    return command.model_copy(update=ids)


def dies() -> None:
    """Its owner deletes the key at the exchange."""
    key = ApiKey.objects.get()
    ApiKey.objects.update(key=f"gone{key.key[4:]}")


def comes_back() -> None:
    digest = ExchangeNonce.objects.get().key_digest
    from apps.vault.selectors import credential_open

    row = Credential.objects.get(key_digest=digest)
    login = credential_open(credential_id=row.id, user_id=row.user_id, even_suspended=True)
    ApiKey.objects.update(key=login.api_key)


def private_calls(wire: Wire) -> int:
    return sum("/0/private/" in path for path in wire.paths)


def told(user_id: UUID) -> list[Envelope]:
    page = stream_page(aggregate_type="user", aggregate_id=user_id, before_seq=None, limit=50)
    return [envelope for envelope in page if envelope.event_type == "kraken.key.test.failed"]


def ended_with(run: BotRun) -> str:
    events = stream_page(aggregate_type="bot", aggregate_id=run.bot_id, before_seq=None, limit=50)
    errors = [message for message in (envelope.message() for envelope in events) if isinstance(message, BotError)]
    assert [error.is_final for error in errors] == [True]
    return errors[0].code


def ask(run: BotRun, failures: list[str]) -> None:
    try:
        exchange_of(run).balances()
    except PlatformError as error:
        failures.append(error.code)
    finally:
        connection.close()


def test_five_bots_on_a_key_that_dies_make_one_call_and_end(runs: list[BotRun], wire: Wire) -> None:
    opened = [exchange_of(run) for run in runs]
    dies()
    before = private_calls(wire)

    with pytest.raises(KeyInvalid):
        opened[0].balances()
    # Clients that were opened before the key died make no call either.
    for exchange in opened[1:]:
        with pytest.raises(KeySuspended):
            exchange.balances()
    for _ in range(3):
        for run in runs:
            tick_run(run_id=run.id)
        orders_reconcile()

    assert private_calls(wire) - before == 1
    assert {run.state for run in BotRun.objects.all()} == {RunState.ERROR}
    assert {ended_with(run) for run in runs} == {"key_suspended"}
    assert len(told(runs[0].user_id)) == 1


def test_of_many_at_once_one_asks(runs: list[BotRun], wire: Wire) -> None:
    dies()
    before = private_calls(wire)
    failures: list[str] = []

    threads = [threading.Thread(target=ask, args=(run, failures)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(failures) == ["exchange_key_invalid", *["key_suspended"] * 4]
    assert private_calls(wire) - before == 1
    assert len(told(runs[0].user_id)) == 1


def test_an_order_with_a_suspended_key_is_provably_not_sent(runs: list[BotRun], wire: Wire) -> None:
    exchange = exchange_of(runs[0])
    dies()
    with pytest.raises(KeyInvalid):
        exchange.balances()
    before = private_calls(wire)

    with pytest.raises(NotSent):
        exchange.submit(OrderRequestFactory.create(deadline=timezone.now() + timedelta(seconds=30)))

    assert private_calls(wire) == before


def test_an_order_that_meets_the_dead_key_suspends_it(runs: list[BotRun], wire: Wire) -> None:
    dies()
    before = private_calls(wire)

    tick_run(run_id=runs[0].id)

    assert private_calls(wire) - before == 1
    assert ended_with(runs[0]) == "key_invalid"
    assert len(told(runs[0].user_id)) == 1
    assert tick_run(run_id=runs[1].id) == TickOutcome.FAILED
    assert ended_with(runs[1]) == "key_suspended"
    assert private_calls(wire) - before == 1


def test_the_kraken_service_learns_of_it_and_the_user_is_alerted(runs: list[BotRun]) -> None:
    run = runs[0]
    dies()
    with pytest.raises(KeyInvalid):
        exchange_of(run).balances()
    found = credential_find(credential_id=run.credential_id, user_id=run.user_id)
    assert found is not None
    assert not found.is_active
    assert Credential.objects.get().state == Credential.State.ACTIVE

    (envelope,) = told(run.user_id)
    message = envelope.message()
    assert isinstance(message, KrakenKeyTestFailed)
    assert message.credential_id == run.credential_id
    assert deliver(envelope, group=KEYS)
    assert deliver(envelope, group=ALERTS)

    row = Credential.objects.get()
    assert (row.state, row.last_error) == (Credential.State.SUSPENDED, message.message)
    assert Alert.objects.get().credential_id == run.credential_id


def test_a_test_that_passes_lifts_it_and_a_late_message_does_not_bring_it_back(runs: list[BotRun]) -> None:
    run = runs[0]
    dies()
    with pytest.raises(KeyInvalid):
        exchange_of(run).balances()
    comes_back()

    assert credential_verify(credential_id=run.credential_id, user_id=run.user_id, now=timezone.now()).state == "active"

    assert deliver(told(run.user_id)[0], group=KEYS)
    assert Credential.objects.get().state == Credential.State.ACTIVE
    assert exchange_of(run).balances()
    assert tick_run(run_id=run.id) == TickOutcome.DECIDED


def test_a_key_that_is_locked_is_used_again_after_the_lock(runs: list[BotRun], wire: Wire) -> None:
    run = runs[0]
    row = Credential.objects.get()
    now = timezone.now()
    ExchangeNonce.objects.filter(key_digest=row.key_digest).update(
        refused_code="exchange_key_locked", refused_at=now, refused_until=now + timedelta(minutes=15)
    )
    before = private_calls(wire)

    with pytest.raises(KeyLocked) as locked:
        exchange_of(run).balances()

    assert 0 < locked.value.details["retry_after_seconds"] <= 900
    assert private_calls(wire) == before
    ExchangeNonce.objects.update(refused_until=now - timedelta(seconds=1))
    assert exchange_of(run).balances()


def test_the_bot_services_role_suspends_a_key(runs: list[BotRun]) -> None:
    dies()
    exchange = exchange_of(runs[0])
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE bot_service")
        cursor.execute("SET search_path TO bots, kraken, risk, events")
        try:
            with pytest.raises(KeyInvalid):
                exchange.balances()
        finally:
            cursor.execute("RESET ROLE")
            cursor.execute("RESET search_path")

    assert ExchangeNonce.objects.get().refused_code == "exchange_key_invalid"
    assert len(told(runs[0].user_id)) == 1
