"""After a restore no bot trades until its orders were compared with the exchange."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from apps.audit.restores import restore_record
from apps.core.terms import Side
from apps.events.store.selectors import stream_list
from apps.exchange.errors import ExchangeUnavailable
from apps.exchange.types import OrderRequest, OrderType
from apps.messages.bots import BotError
from apps.trading.errors import HistoryNotReconciled
from apps.trading.ids import new_client_order_id
from apps.trading.models.histories import ReconciledHistory
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState
from apps.trading.scheduler import Scheduler
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.runs.histories import history_reconcile
from apps.trading.services.runs.manual_trade import trade_trigger
from apps.trading.services.runs.start import run_start
from apps.trading.services.runs.tick import TickOutcome, tick_run
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import (
    NOW,
    SteppingClock,
    context_of,
    delivery_of,
    fake_exchange,
    running_bot,
    start_command,
    trigger_command,
)
from tests.integration.trading.test_scheduler import Recorder

pytestmark = pytest.mark.django_db


@pytest.fixture
def exchange() -> FakeExchange:
    return fake_exchange()


@pytest.fixture
def context(exchange: FakeExchange) -> ExecutionContext:
    return context_of(exchange, SteppingClock())


@pytest.fixture
def run(context: ExecutionContext) -> BotRun:
    return running_bot(context)


@pytest.fixture
def restored(run: BotRun) -> None:
    """The database is in another history than the one in which the bot was started."""
    assert ReconciledHistory.objects.exclude(lineage="").count() == 1
    ReconciledHistory.objects.update(lineage="7000000000000000000/00000001")


def _record() -> None:
    restore_record(restored_to=NOW - timedelta(minutes=1), reason="test", operator="ops", file=None, now=timezone.now())


def _place(exchange: FakeExchange, run: BotRun, *, price: str) -> str:
    """An order of the bot in the time that the database lost."""
    client_order_id = new_client_order_id(run.bot_id)
    exchange.submit(
        OrderRequest(
            pair="XBTUSD",
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            volume=Decimal("0.01"),
            price=Decimal(price),
            client_order_id=client_order_id,
            deadline=NOW + timedelta(seconds=5),
        )
    )
    return client_order_id


@pytest.mark.usefixtures("restored")
class TestUntilItIsCompared:
    def test_no_tick_decides_anything(self, run: BotRun, context: ExecutionContext, exchange: FakeExchange) -> None:
        assert tick_run(run_id=run.id, context=context) == TickOutcome.NOT_RECONCILED
        assert OrderIntent.objects.count() == 0

    def test_the_scheduler_sends_no_tick_and_the_runs_stay_due(self, run: BotRun) -> None:
        sender = Recorder()
        Scheduler(sender).step()
        assert sender.sent == []
        assert BotRun.objects.get().next_tick_at == run.next_tick_at

    def test_a_start_and_a_trade_are_refused_for_now(self, run: BotRun, context: ExecutionContext) -> None:
        command = start_command()
        with pytest.raises(HistoryNotReconciled, match="Bots go on once their orders were compared"):
            run_start(command=command, delivery=delivery_of(command), context=context)
        with pytest.raises(HistoryNotReconciled):
            trade_trigger(command=trigger_command(run, side="buy", quote_amount="100"), context=context)
        assert BotRun.objects.count() == 1

    def test_the_restore_must_be_recorded(self, run: BotRun, context: ExecutionContext) -> None:
        assert "`manage.py record_restore`" in history_reconcile(context=context)
        assert tick_run(run_id=run.id, context=context) == TickOutcome.NOT_RECONCILED

    def test_an_exchange_that_does_not_answer_is_asked_again(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _record()

        def fail(**_: object) -> None:
            raise ExchangeUnavailable("The exchange does not answer.")

        with monkeypatch.context() as patch:
            patch.setattr(type(exchange), "closed_orders", lambda self, **_: fail())
            assert str(run.bot_id) in history_reconcile(context=context)
        assert tick_run(run_id=run.id, context=context) == TickOutcome.NOT_RECONCILED

        assert history_reconcile(context=context) == ""
        assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED


@pytest.mark.usefixtures("restored")
def test_a_bot_whose_orders_agree_goes_on(run: BotRun, context: ExecutionContext) -> None:
    _record()
    assert history_reconcile(context=context) == ""
    assert BotRun.objects.get().state == RunState.RUNNING
    assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED


@pytest.mark.usefixtures("restored")
def test_an_open_order_that_the_database_lost_is_taken_off_the_book(
    run: BotRun, context: ExecutionContext, exchange: FakeExchange
) -> None:
    _place(exchange, run, price="10")
    _record()

    assert history_reconcile(context=context) == ""

    assert exchange.open_orders() == []
    assert BotRun.objects.get().state == RunState.RUNNING


@pytest.mark.usefixtures("restored")
def test_a_filled_order_that_the_database_lost_ends_the_run_with_its_name(
    run: BotRun, context: ExecutionContext, exchange: FakeExchange
) -> None:
    client_order_id = _place(exchange, run, price="90000")
    [order] = exchange.closed_orders(client_order_id=client_order_id)
    _record()

    assert history_reconcile(context=context) == ""

    assert BotRun.objects.get().state == RunState.ERROR
    messages = [event.message() for event in stream_list(aggregate_type="bot", aggregate_id=run.bot_id)]
    [error] = [message for message in messages if isinstance(message, BotError)]
    assert (error.code, error.is_final) == ("orders_lost_in_restore", True)
    assert order.exchange_order_id in error.message


def test_a_restore_within_the_same_history_is_compared_too(run: BotRun, context: ExecutionContext) -> None:
    """A dump that was read back into the same cluster."""
    _record()
    assert tick_run(run_id=run.id, context=context) == TickOutcome.NOT_RECONCILED
    assert history_reconcile(context=context) == ""
    assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED


def test_where_nothing_was_restored_nothing_waits_and_the_exchange_is_not_asked(
    run: BotRun, exchange: FakeExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: BotRun) -> None:
        raise AssertionError("asked")

    assert history_reconcile(context=ExecutionContext(open_exchange=refuse)) == ""  # type: ignore[arg-type]
