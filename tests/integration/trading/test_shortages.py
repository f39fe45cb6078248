"""Coins that are short never block an exit: it sells what is there."""

from decimal import Decimal

import pytest

from apps.bots.consumers import READ_MODELS
from apps.bots.models import BotStatus
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.store.selectors import stream_list
from apps.messages.trading import PositionWrittenOff
from apps.risk.models.accounts import AccountAsset, Allocation
from apps.trading.models.ledger import LedgerAccount, LedgerEntry, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.orders.account_comparison import account_compare
from apps.trading.services.runs.stop import run_stop
from apps.trading.services.runs.tick import tick_run
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import (
    SteppingClock,
    add_candle,
    delivery_of,
    running_bot,
    stop_command,
)

pytestmark = pytest.mark.django_db
load_consumers()

LOT = Decimal("0.00000001")


@pytest.fixture
def run(context: ExecutionContext) -> BotRun:
    """A running bot that has bought."""
    run = running_bot(context)
    tick_run(run_id=run.id, context=context)
    return run


def flatten(run: BotRun, context: ExecutionContext) -> None:
    command = stop_command(run, manner="flatten")
    run_stop(command=command, delivery=delivery_of(command), context=context)


def written_off(run: BotRun) -> list[PositionWrittenOff]:
    messages = [event.message() for event in stream_list(aggregate_type="bot", aggregate_id=run.bot_id)]
    return [message for message in messages if isinstance(message, PositionWrittenOff)]


@pytest.mark.parametrize("lots", [1, 2])
def test_a_flatten_sells_what_is_there_and_writes_off_the_lots_that_are_missing(
    run: BotRun, exchange: FakeExchange, context: ExecutionContext, lots: int
) -> None:
    held = exchange.totals["XXBT"]
    exchange.totals["XXBT"] -= lots * LOT
    flatten(run, context)

    sales = OrderIntent.objects.filter(side="sell").order_by("planned_at").values_list("state", "filled_volume")
    assert list(sales) == [(IntentState.REJECTED, 0), (IntentState.FILLED, held - lots * LOT)]
    assert exchange.totals["XXBT"] == Position.objects.get().base_volume == Allocation.objects.get().base_amount == 0
    [event] = written_off(run)
    assert event.volume == lots * LOT
    entries = LedgerEntry.objects.exclude(release=None).values_list("account", "amount").order_by("amount")
    assert list(entries) == [(LedgerAccount.POSITION, -lots * LOT), (LedgerAccount.DUST, lots * LOT)]


def test_the_account_then_equals_the_ledger_with_the_dust_in_its_place(
    run: BotRun, exchange: FakeExchange, context: ExecutionContext
) -> None:
    exchange.totals["XXBT"] -= LOT
    flatten(run, context)
    comparison = account_compare(run.credential_id, context=context)
    assert comparison is not None
    assert comparison.differences == ()
    assert AccountAsset.objects.get(asset="XXBT").dust == -LOT


def test_an_exit_of_the_strategy_sells_what_is_there_a_moment_later(
    run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
) -> None:
    held = exchange.totals["XXBT"]
    exchange.totals["XXBT"] -= LOT
    for _ in range(9):
        add_candle(exchange, 15_000)
    tick_run(run_id=run.id, context=context)
    assert Position.objects.get().base_volume == held - LOT
    clock.sleep(5)
    tick_run(run_id=run.id, context=context)
    assert Position.objects.get().base_volume == 0
    assert len(written_off(run)) == 1


def test_more_than_a_lot_or_two_is_not_written_off_and_does_not_block_the_sale_of_the_rest(
    run: BotRun, exchange: FakeExchange, context: ExecutionContext
) -> None:
    missing = Decimal("0.01")
    exchange.totals["XXBT"] -= missing
    flatten(run, context)
    assert exchange.totals["XXBT"] == 0
    position = Position.objects.get()
    assert (position.base_volume, position.base_missing) == (missing, missing)
    assert written_off(run) == []
    assert not LedgerEntry.objects.exclude(release=None).exists()


def test_coins_that_are_there_again_can_be_sold_again(
    run: BotRun, exchange: FakeExchange, context: ExecutionContext
) -> None:
    exchange.totals["XXBT"] -= Decimal("0.01")
    flatten(run, context)
    exchange.totals["XXBT"] += Decimal("0.01")
    account_compare(run.credential_id, context=context)
    assert Position.objects.get().base_missing == 0


def test_the_status_follows_what_was_written_off(
    run: BotRun, exchange: FakeExchange, context: ExecutionContext
) -> None:
    exchange.totals["XXBT"] -= LOT
    flatten(run, context)
    for event in stream_list(aggregate_type="bot", aggregate_id=run.bot_id):
        if event.event_type.startswith(("bot.trade.executed", "bot.position")):
            deliver(event, group=READ_MODELS)
    assert BotStatus.objects.get().position_volume == 0
