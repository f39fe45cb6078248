"""Bots of one key share its account: each gets its budget out of what no other has."""

import threading
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone

from apps.core.context import message_context
from apps.core.ids import new_id
from apps.core.terms import Mode
from apps.events.commands.registry import execute
from apps.exchange.errors import KeyInvalid
from apps.exchange.types import ZERO
from apps.messages.bots import StartBot
from apps.risk.errors import AccountChangedMeanwhile, BudgetExceedsAccount
from apps.risk.models.accounts import Account, AccountAsset, Allocation
from apps.trading.models.ledger import Position
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.orders.placement import order_place, orders_sync
from apps.trading.services.runs.start import run_start
from apps.trading.services.runs.stop import run_stop
from apps.trading.services.runs.tick import TickOutcome, tick_run
from apps.vault.services.connect import credential_connect
from tests.factories.fake_exchange import FakeExchange, raising
from tests.factories.trading import (
    add_candle,
    bot_config,
    context_of,
    delivery_of,
    fake_exchange,
    planned_order,
    running_bot,
    start_command,
    stop_command,
)

KEY = uuid4()


@pytest.fixture
def exchange() -> FakeExchange:
    return fake_exchange()


@pytest.fixture
def context(exchange: FakeExchange) -> ExecutionContext:
    return context_of(exchange)


def start(context: ExecutionContext, budget: int, **config: Any) -> BotRun:
    return running_bot(context, credential_id=KEY, quote_budget=Decimal(budget), **config)


def again(context: ExecutionContext, run: BotRun, budget: int) -> BotRun:
    command = start_command(
        bot_id=run.bot_id,
        credential_id=run.credential_id,
        quote_budget=Decimal(budget),
        requested_at=context.clock().replace(year=2027),
    )
    with message_context(correlation_id=new_id(), causation_id=command.command_id):
        return run_start(command=command, delivery=delivery_of(command), context=context)


def stop(context: ExecutionContext, run: BotRun, manner: str = "stop") -> None:
    command = stop_command(run, manner=manner)
    run_stop(command=command, delivery=delivery_of(command), context=context)


def shares_add_up() -> None:
    """What a bot has of the account is what its position says."""
    for position in Position.objects.all():
        allocation = Allocation.objects.get(bot_id=position.bot_id)
        assert allocation.base_amount == position.base_volume
        if allocation.quote_budget is None:
            assert allocation.quote_amount == position.quote_reserved
        else:
            assert allocation.quote_amount == allocation.quote_budget - position.quote_spent


@pytest.mark.django_db
class TestBudgets:
    def test_the_first_bot_takes_the_account_and_the_second_is_refused(self, context: ExecutionContext) -> None:
        start(context, 10_000)
        with pytest.raises(BudgetExceedsAccount) as refusal:
            start(context, 10_000)
        assert refusal.value.details == {
            "asset": "ZUSD",
            "asked": "10000",
            "balance": "10000",
            "allocated": "10000",
            "held_by_other_orders": "0",
            "unallocated": "0",
        }
        assert BotRun.objects.count() == Allocation.objects.count() == 1

    def test_a_budget_beyond_the_account_is_refused(self, context: ExecutionContext) -> None:
        with pytest.raises(BudgetExceedsAccount):
            start(context, 10**19)
        assert not BotRun.objects.exists()

    def test_accounts_of_two_keys_have_nothing_to_do_with_each_other(self, context: ExecutionContext) -> None:
        start(context, 10_000)
        running_bot(context, credential_id=uuid4(), quote_budget=Decimal(10_000))
        assert Allocation.objects.count() == 2

    def test_what_other_orders_hold_is_not_given_away(self, exchange: FakeExchange, context: ExecutionContext) -> None:
        exchange.on(
            "balances", after=lambda found: {"ZUSD": found["ZUSD"].__class__("ZUSD", found["ZUSD"].total, Decimal(500))}
        )
        with pytest.raises(BudgetExceedsAccount, match="9500"):
            start(context, 9_600)
        start(context, 9_500)

    def test_a_purchase_moves_the_share_from_cash_to_coins(self, context: ExecutionContext) -> None:
        run = start(context, 1_000)
        tick_run(run_id=run.id, context=context)
        position, allocation = Position.objects.get(), Allocation.objects.get()
        assert (allocation.base_amount, allocation.quote_amount) == (
            position.base_volume,
            1_000 - position.quote_spent,
        )
        assert position.base_volume > 0
        booked = dict(AccountAsset.objects.values_list("asset", "booked"))
        assert booked == {"ZUSD": 10_000 - position.quote_spent, "XXBT": position.base_volume}

    def test_a_stop_gives_the_cash_back_and_keeps_the_coins(self, context: ExecutionContext) -> None:
        run = start(context, 10_000)
        tick_run(run_id=run.id, context=context)
        held = Position.objects.get().base_volume
        stop(context, run)
        allocation = Allocation.objects.get()
        assert (allocation.quote_budget, allocation.quote_amount, allocation.base_amount) == (None, 0, held)

    def test_a_stopped_bots_cash_is_for_the_next_one(self, context: ExecutionContext) -> None:
        run = start(context, 10_000)
        stop(context, run)
        start(context, 10_000)

    def test_a_failed_run_gives_its_cash_back(self, exchange: FakeExchange, context: ExecutionContext) -> None:
        run = start(context, 10_000)
        exchange.on("ohlc", before=raising(KeyInvalid("The exchange does not know this key.")))
        assert tick_run(run_id=run.id, context=context) == TickOutcome.FAILED
        assert Allocation.objects.get().quote_amount == 0

    def test_a_paused_bots_open_order_keeps_what_it_reserves(
        self, exchange: FakeExchange, context: ExecutionContext
    ) -> None:
        planned = planned_order(
            exchange, kind=OrderKind.REST, price=Decimal(20000), credential_id=KEY, quote_budget=Decimal(10_000)
        )
        intent = order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps).intent
        planned.lease.release()
        stop(context, planned.run, "pause")
        reserved = OrderIntent.objects.get().reserved_quote
        assert Allocation.objects.get().quote_amount == reserved > 0
        exchange.end(intent.txid)
        orders_sync([intent], deps=planned.deps)
        assert Allocation.objects.get().quote_amount == 0

    def test_a_bot_starts_again_with_what_it_has_not_spent(self, context: ExecutionContext) -> None:
        run = start(context, 10_000)
        tick_run(run_id=run.id, context=context)
        stop(context, run)
        again(context, run, 10_000)
        shares_add_up()

    def test_a_sale_of_another_bot_in_flight_is_not_given_away(
        self, exchange: FakeExchange, context: ExecutionContext
    ) -> None:
        """The exchange has executed it, and it is not booked: its money is in the balance."""
        run = start(context, 5_000)
        tick_run(run_id=run.id, context=context)
        exchange.on("orders", instead=lambda ids: {})
        add_candle(exchange, 15_000)
        for _ in range(8):
            add_candle(exchange, 15_000)
        tick_run(run_id=run.id, context=context)
        [sale] = OrderIntent.objects.filter(side="sell")
        assert sale.is_resting
        assert Position.objects.get().base_volume > 0
        total = exchange.totals["ZUSD"]
        with pytest.raises(BudgetExceedsAccount):
            start(context, int(total - Allocation.objects.get().quote_amount))

    def test_a_booking_between_the_balance_and_the_start_repeats_the_reading(
        self, exchange: FakeExchange, context: ExecutionContext
    ) -> None:
        start(context, 1_000)
        reads = []

        def meddle() -> None:
            reads.append(1)
            if len(reads) == 1:
                Account.objects.update(changes=99)

        exchange.on("balances", before=meddle)
        start(context, 1_000)
        assert len(reads) == 2

    def test_an_account_that_never_rests_leaves_the_start_for_later(
        self, exchange: FakeExchange, context: ExecutionContext
    ) -> None:
        start(context, 1_000)
        exchange.on("balances", before=lambda: Account.objects.update(changes=new_id().int % 10**9))
        with pytest.raises(AccountChangedMeanwhile):
            start(context, 1_000)
        assert BotRun.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_starts_at_the_same_time_do_not_get_more_than_there_is(exchange: FakeExchange) -> None:
    meeting = threading.Barrier(2)

    def meet() -> None:
        try:
            meeting.wait(timeout=20)
        except threading.BrokenBarrierError:
            return

    exchange.on("balances", before=meet)
    refused: list[Exception] = []

    def begin() -> None:
        try:
            start(context_of(exchange), 6_000)
        except BudgetExceedsAccount as error:
            # The one that was second has read the balances again; nobody waits for it.
            refused.append(error)
        finally:
            meeting.abort()
            connection.close()

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert (BotRun.objects.count(), len(refused)) == (1, 1)
    assert sum(Allocation.objects.values_list("quote_amount", flat=True)) == 6_000


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("paper_exchange")
def test_of_three_bots_with_the_whole_paper_account_one_runs() -> None:
    now = timezone.now()
    user_id = uuid4()
    credential = credential_connect(user_id=user_id, label="Play", mode=Mode.PAPER, now=now)

    def command_of(bot_id: UUID) -> StartBot:
        return StartBot(
            command_id=uuid4(),
            bot_id=bot_id,
            user_id=user_id,
            config=bot_config(
                credential_id=credential.id,
                strategy="dca",
                parameters={"every_candles": 700, "quote_amount": "100"},
                quote_budget=Decimal(10_000),
            ),
            requested_at=now,
            expires_at=now.replace(year=now.year + 1),
        )

    commands = [command_of(uuid4()) for _ in range(3)]
    assert [execute(command) for command in commands] == ["done", *["failed: budget_exceeds_account"] * 2]
    assert BotRun.objects.get().state == RunState.RUNNING
    assert sum(Allocation.objects.values_list("quote_amount", flat=True), ZERO) == 10_000
