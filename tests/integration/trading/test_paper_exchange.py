"""Bots on the platform's own exchange, over HTTP, through the vault and the SDK: nothing stands in for anything."""

import time
from decimal import Decimal
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.events.commands.registry import execute
from apps.events.store.selectors import stream_list
from apps.exchange.types import OrderStatus
from apps.messages.bots import StopBot
from apps.messages.trading import BotTradeExecuted
from apps.trading.models.ledger import Fill, LedgerAccount, LedgerEntry, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import RunState
from apps.trading.services.runs.tick import TickOutcome, tick_run
from apps.vault.key_users import KnownIds
from apps.vault.selectors import credential_open
from apps.vault.services.same_account import same_account
from tests.integration.trading.conftest import DEPOSIT, paper_bot

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("paper_exchange")]

CENT_FRACTION = Decimal("0.0001")  # balances are shown with four decimals of a dollar


def test_the_first_tick_of_a_started_bot_is_a_trade() -> None:
    run, exchange = paper_bot()
    assert tick_run(run_id=run.id) == TickOutcome.DECIDED

    intent = OrderIntent.objects.get()
    assert intent.state == IntentState.FILLED
    order = exchange.orders([intent.txid])[intent.txid]
    assert (order.client_order_id, order.volume, order.status) == (intent.cl_ord_id, intent.volume, OrderStatus.CLOSED)
    assert (intent.filled_cost, intent.filled_fee) == (order.cost, order.fee)
    trades = exchange.trades_of(order.trade_ids)
    assert set(Fill.objects.values_list("exchange_trade_id", flat=True)) == set(trades)
    messages = [event.message() for event in stream_list(aggregate_type="bot", aggregate_id=run.bot_id)]
    assert sum(isinstance(message, BotTradeExecuted) for message in messages) == len(trades)


def test_the_bots_books_are_the_exchanges_after_many_trades(settings: Settings) -> None:
    settings.MARKET_CANDLE_SECONDS = 0.5
    run, exchange = paper_bot(strategy="sma_cross", parameters={"fast": 2, "slow": 4}, quote_budget=Decimal(5000))
    ends_at = time.monotonic() + 100
    while time.monotonic() < ends_at and OrderIntent.objects.filter(state=IntentState.FILLED).count() < 4:
        # An exit that the moving market left unfilled is tried again.
        assert tick_run(run_id=run.id) in (TickOutcome.DECIDED, TickOutcome.NOTHING_NEW, TickOutcome.EXIT_TRIED)
        time.sleep(0.1)

    position, balances = Position.objects.get(), exchange.balances()
    assert OrderIntent.objects.filter(state=IntentState.FILLED).count() >= 4
    bitcoin = balances["XXBT"].total if "XXBT" in balances else Decimal(0)
    assert position.base_volume == bitcoin
    assert abs(DEPOSIT - position.quote_spent - balances["ZUSD"].total) <= CENT_FRACTION
    cash = sum(entry.amount for entry in LedgerEntry.objects.filter(account=LedgerAccount.CASH))
    assert cash == -position.quote_spent
    assert {"buy", "sell"} == set(OrderIntent.objects.filter(filled_volume__gt=0).values_list("side", flat=True))
    assert len(exchange.closed_orders()) == OrderIntent.objects.count()
    candles = list(OrderIntent.objects.values_list("candle_at", flat=True))
    assert len(candles) == len(set(candles))


def test_a_bot_that_is_flattened_leaves_only_money_in_its_account() -> None:
    run, exchange = paper_bot()
    tick_run(run_id=run.id)
    now = timezone.now()
    stop = StopBot(
        command_id=uuid4(),
        bot_id=run.bot_id,
        user_id=run.user_id,
        manner="flatten",
        requested_at=now,
        expires_at=now.replace(year=now.year + 1),
    )
    assert execute(stop) == "done"
    run.refresh_from_db()
    assert run.state == RunState.STOPPED
    assert Position.objects.get().base_volume == 0
    balances = exchange.balances()
    assert "XXBT" not in balances or balances["XXBT"].total == 0
    assert balances["ZUSD"].held == 0


def test_two_keys_are_told_apart_by_what_each_has_seen() -> None:
    """What a rotation asks before it trusts a new key."""
    (run, _), (other_run, _) = paper_bot(), paper_bot()
    ours, others = (
        credential_open(credential_id=each.credential_id, user_id=each.user_id) for each in (run, other_run)
    )
    # Nothing was ordered yet: the deposits are in the ledgers.
    assert same_account(new=ours, old=ours, known=KnownIds()) is True
    assert same_account(new=others, old=ours, known=KnownIds()) is False

    tick_run(run_id=run.id)
    [intent] = OrderIntent.objects.filter(run=run)
    trade_ids = tuple(Fill.objects.values_list("exchange_trade_id", flat=True))
    for known in (KnownIds(trade_ids=trade_ids), KnownIds(exchange_order_ids=(intent.txid,)), KnownIds()):
        assert same_account(new=ours, old=ours, known=known) is True
        assert same_account(new=others, old=ours, known=known) is False
    assert same_account(new=others, old=None, known=KnownIds()) is None
