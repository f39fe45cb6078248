"""The ledger equals the exchange, or entries stop and somebody is told."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.bots.consumers import ALERTS
from apps.bots.models import Alert
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.store.selectors import stream_list
from apps.exchange.errors import ExchangeUnavailable, KeyInvalid
from apps.exchange.types import OrderStatus
from apps.messages.accounts import AccountDrift, AccountDriftResolved
from apps.messages.base import Message
from apps.paper.models import ApiKey, Wallet
from apps.paper.services.account_ledger import AccountLedger
from apps.risk.models.accounts import Account, AccountAsset, AccountMovement, Allocation
from apps.risk.models.halts import Halt, HaltLevel
from apps.trading.models.ledger import Fill, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun
from apps.trading.selectors import accounts_to_compare
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.live import exchange_of
from apps.trading.services.orders.account_comparison import (
    AGAIN_AFTER_FAILURE,
    COMPARE_EVERY,
    GRACE,
    account_compare,
)
from apps.trading.services.orders.balance_acceptance import NoDrift, OrderNeedsPerson, balances_accept
from apps.trading.services.orders.lifecycle import (
    intent_end,
    intent_mark_sending,
    intent_mark_unknown,
    intent_needs_human,
)
from apps.trading.services.orders.placement import order_place
from apps.trading.services.runs.stop import run_stop
from apps.trading.services.runs.tick import tick_run
from apps.vault.selectors import credential_open
from tests.factories.fake_exchange import FakeExchange, SubmitFault, raising
from tests.factories.trading import (
    Planned,
    SteppingClock,
    delivery_of,
    planned_order,
    running_bot,
    stop_command,
)
from tests.integration.trading.conftest import paper_bot

load_consumers()


@pytest.fixture
def run(context: ExecutionContext) -> BotRun:
    """A running bot that has bought."""
    run = running_bot(context)
    tick_run(run_id=run.id, context=context)
    assert Position.objects.get().base_volume > 0
    return run


def told(run: BotRun) -> list[Message]:
    """What was published about the account, other than its trades."""
    messages = [event.message() for event in stream_list(aggregate_type="credential", aggregate_id=run.credential_id)]
    return [message for message in messages if isinstance(message, AccountDrift | AccountDriftResolved)]


def compare_twice(run: BotRun, context: ExecutionContext, clock: SteppingClock) -> Any:
    account_compare(run.credential_id, context=context)
    clock.sleep(GRACE.total_seconds())
    return account_compare(run.credential_id, context=context)


@pytest.mark.django_db
class TestEqual:
    def test_a_bot_that_has_traded_has_what_the_exchange_shows(
        self, run: BotRun, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        comparison = compare_twice(run, context, clock)
        assert comparison.differences == ()
        assert told(run) == []
        assert not Halt.objects.exists()

    def test_an_account_is_compared_at_its_start_then_each_minute_and_after_the_end(
        self, run: BotRun, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        assert accounts_to_compare(now=clock()) == [run.credential_id]
        account_compare(run.credential_id, context=context)
        assert accounts_to_compare(now=clock()) == []
        clock.sleep(COMPARE_EVERY.total_seconds())
        assert accounts_to_compare(now=clock()) == [run.credential_id]
        account_compare(run.credential_id, context=context)

        command = stop_command(run)
        run_stop(command=command, delivery=delivery_of(command), context=context)
        assert accounts_to_compare(now=clock()) == [run.credential_id]

    def test_a_bot_that_was_at_work_before_there_were_shares_gets_one(
        self, run: BotRun, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        before = Allocation.objects.values("quote_budget", "quote_amount", "base_amount").get()
        for model in (Allocation, AccountAsset, Account):
            model.objects.all().delete()
        assert accounts_to_compare(now=clock()) == [run.credential_id]
        comparison = account_compare(run.credential_id, context=context)
        assert comparison is not None
        assert comparison.differences == ()
        assert Allocation.objects.values("quote_budget", "quote_amount", "base_amount").get() == before

    def test_what_the_exchange_rounds_becomes_dust(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        exchange.totals["ZUSD"] -= Decimal("0.00002")
        assert compare_twice(run, context, clock).differences == ()
        assert AccountAsset.objects.get(asset="ZUSD").dust == Decimal("-0.00002")

    def test_two_lots_that_are_missing_are_no_drift(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        exchange.totals["XXBT"] -= Decimal("0.00000002")
        assert compare_twice(run, context, clock).differences == ()
        assert AccountAsset.objects.get(asset="XXBT").dust == Decimal("-0.00000002")

    def test_deposits_and_withdrawals_move_what_is_unallocated(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        account_compare(run.credential_id, context=context)
        exchange.move("ZUSD", Decimal(500))
        exchange.move("ZUSD", Decimal(-200), kind="withdrawal", fee=Decimal(1))
        assert compare_twice(run, context, clock).differences == ()
        moved = AccountMovement.objects.order_by("moved_at").values_list("kind", "amount")
        assert list(moved) == [("deposit", 500), ("withdrawal", -201)]
        assert told(run) == []

    def test_an_asset_that_no_bot_uses_is_the_users_own(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        account_compare(run.credential_id, context=context)
        exchange.totals["XETH"] = Decimal(5)
        assert compare_twice(run, context, clock).differences == ()

    def test_a_late_fill_of_an_ended_order_is_booked(
        self, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        planned = planned_order(exchange, clock, kind=OrderKind.REST, price=Decimal(20000))
        intent = order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps).intent
        exchange.end(intent.txid, reason="User requested")
        account_compare(planned.run.credential_id, context=context)  # sees the end, which disturbs it
        assert account_compare(planned.run.credential_id, context=context) is not None
        assert OrderIntent.objects.get().state == IntentState.CANCELED
        # The exchange had executed a part, and shows it only now.
        exchange.fill(intent.txid, Decimal("0.004"))
        exchange.end(intent.txid, OrderStatus.CANCELED)

        assert compare_twice(planned.run, context, clock).differences == ()
        assert Fill.objects.get().volume == Decimal("0.004")
        assert Position.objects.get().base_volume == Allocation.objects.get().base_amount == Decimal("0.004")
        assert told(planned.run) == []


@pytest.mark.django_db
class TestInFlight:
    def test_an_order_of_unknown_outcome_is_waited_for(
        self, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        planned = planned_order(exchange, clock)
        exchange.next_submits.append(SubmitFault.LOST_AFTER)
        order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
        for _ in range(3):
            clock.sleep(GRACE.total_seconds())
            assert account_compare(planned.run.credential_id, context=context) is None
        assert told(planned.run) == []

    def test_a_fill_of_a_resting_order_is_booked_before_anything_is_compared(
        self, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        planned = self.resting(exchange, clock)
        exchange.fill(planned.txid, Decimal("0.004"))
        assert account_compare(planned.credential_id, context=context) is None
        comparison = account_compare(planned.credential_id, context=context)
        assert comparison is not None
        assert comparison.differences == ()
        assert Position.objects.get().base_volume == Decimal("0.004")

    def test_a_fill_that_the_balance_shows_before_the_order_does_is_no_drift(
        self, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        intent = self.resting(exchange, clock)
        before = exchange.placed[0]
        exchange.fill(intent.txid, Decimal("0.004"))
        exchange.on("orders", instead=lambda ids: {before.exchange_order_id: before})
        exchange.on("ledger", instead=lambda start=None: [])
        comparison = account_compare(intent.credential_id, context=context)
        assert comparison is not None
        assert len(comparison.differences) == 2
        exchange.off("orders")
        exchange.off("ledger")
        clock.sleep(GRACE.total_seconds())
        account_compare(intent.credential_id, context=context)
        comparison = account_compare(intent.credential_id, context=context)
        assert comparison is not None
        assert comparison.differences == ()
        assert told(intent.run) == []

    def test_a_booking_between_the_balances_and_the_comparison_disturbs_it(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext
    ) -> None:
        exchange.on("balances", before=lambda: Account.objects.update(changes=99))
        assert account_compare(run.credential_id, context=context) is None

    def resting(self, exchange: FakeExchange, clock: SteppingClock) -> OrderIntent:
        planned: Planned = planned_order(exchange, clock, kind=OrderKind.REST, price=Decimal(20000))
        return order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps).intent


@pytest.mark.django_db
class TestDrift:
    def test_coins_that_have_gone_stop_the_entries_and_are_told_once(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        booked = exchange.totals["XXBT"]
        account_compare(run.credential_id, context=context)
        exchange.totals["XXBT"] = booked - Decimal("0.01")
        account_compare(run.credential_id, context=context)
        assert told(run) == []  # not at first sight
        for _ in range(3):
            clock.sleep(GRACE.total_seconds())
            account_compare(run.credential_id, context=context)

        [drift] = told(run)
        assert isinstance(drift, AccountDrift)
        assert (drift.asset, drift.code) == ("XXBT", "unexplained")
        assert (drift.expected, drift.found, drift.difference) == (
            booked,
            booked - Decimal("0.01"),
            Decimal("-0.01"),
        )
        halt = Halt.objects.get(lifted_at=None)
        assert (halt.level, halt.subject_id, halt.code) == (HaltLevel.REDUCING, run.credential_id, "account_drift")
        assert str(drift.found.normalize()) in halt.reason

    def test_when_it_is_there_again_that_is_told_and_the_halt_is_lifted(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        account_compare(run.credential_id, context=context)
        exchange.totals["XXBT"] -= Decimal("0.01")
        compare_twice(run, context, clock)
        exchange.totals["XXBT"] += Decimal("0.01")
        account_compare(run.credential_id, context=context)
        account_compare(run.credential_id, context=context)
        assert [type(message) for message in told(run)] == [AccountDrift, AccountDriftResolved]
        assert not Halt.objects.filter(lifted_at=None).exists()

    def test_a_difference_that_grows_is_told_again(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        account_compare(run.credential_id, context=context)
        for _ in range(2):
            exchange.totals["XXBT"] -= Decimal("0.01")
            compare_twice(run, context, clock)
        assert [message.difference for message in told(run) if isinstance(message, AccountDrift)] == [
            Decimal("-0.01"),
            Decimal("-0.02"),
        ]
        assert Halt.objects.filter(lifted_at=None).count() == 1

    def test_a_withdrawal_of_what_bots_have_is_told_although_it_is_explained(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        account_compare(run.credential_id, context=context)
        exchange.move("XXBT", -exchange.totals["XXBT"] / 2, kind="withdrawal")
        compare_twice(run, context, clock)
        [drift] = told(run)
        assert isinstance(drift, AccountDrift)
        assert (drift.code, drift.expected) == ("uncovered", Position.objects.get().base_volume)

    def test_trades_of_the_user_on_his_own_coins_are_no_drift_and_on_a_bots_are(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        exchange.totals["XXBT"] += 1
        Account.objects.update(compared_at=None)
        account_compare(run.credential_id, context=context)
        self.sell(exchange, Decimal(1))
        assert compare_twice(run, context, clock).differences == ()
        self.sell(exchange, Decimal("0.01"))
        assert [each.code for each in compare_twice(run, context, clock).differences] == ["uncovered"]

    def sell(self, exchange: FakeExchange, volume: Decimal) -> None:
        exchange.move("XXBT", -volume, kind="trade", reference=f"TUSER-{volume}")
        exchange.move("ZUSD", volume * 20000, fee=Decimal(1), kind="trade", reference=f"TUSER-{volume}")

    def test_one_keys_drift_halts_no_other_key(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        other = running_bot(context, credential_id=uuid4())
        account_compare(run.credential_id, context=context)
        exchange.totals["XXBT"] -= Decimal("0.01")
        compare_twice(run, context, clock)
        assert set(Halt.objects.values_list("subject_id", flat=True)) == {run.credential_id} != {other.credential_id}

    def test_it_becomes_an_alert_with_both_figures(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        account_compare(run.credential_id, context=context)
        exchange.totals["ZUSD"] -= 7
        compare_twice(run, context, clock)
        exchange.totals["ZUSD"] += 7
        account_compare(run.credential_id, context=context)
        events = stream_list(aggregate_type="credential", aggregate_id=run.credential_id)
        for event in events:
            if isinstance(event.message(), AccountDrift | AccountDriftResolved):
                deliver(event, group=ALERTS)
        drift, resolved = Alert.objects.order_by("occurred_at")
        assert (drift.kind, drift.severity, drift.credential_id) == ("account.drift", "critical", run.credential_id)
        figures = AccountAsset.objects.get(asset="ZUSD").booked.normalize()
        assert f"{figures - 7:f}" in drift.message
        assert f"{figures:f}" in drift.message
        assert resolved.kind == "account.drift.resolved"


@pytest.mark.django_db
class TestWhileAnOrderWaitsForAPerson:
    @pytest.fixture
    def planned(self, exchange: FakeExchange, clock: SteppingClock) -> Planned:
        """A purchase of 0.01 at up to 30 000 whose end nobody knows, on an account that was equal before."""
        planned = planned_order(exchange, clock)
        intent_mark_sending(lease=planned.lease, intent_id=planned.intent.id, now=clock())
        intent_mark_unknown(intent_id=planned.intent.id, code="timeout", evidence={}, now=clock())
        intent_needs_human(intent_id=planned.intent.id, code="unattributed", evidence={"because": "x"}, now=clock())
        return planned

    def test_what_it_may_have_come_to_is_no_difference_and_is_not_taken_over(
        self, planned: Planned, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        before = list(AccountAsset.objects.order_by("asset").values_list("asset", "booked", "dust"))
        exchange.totals["ZUSD"] -= 300
        exchange.totals["XXBT"] = exchange.totals.get("XXBT", Decimal(0)) + Decimal("0.01")

        comparison = compare_twice(planned.run, context, clock)

        assert (comparison.differences, comparison.in_doubt) == ((), {"XXBT", "ZUSD"})
        assert list(AccountAsset.objects.order_by("asset").values_list("asset", "booked", "dust")) == before
        assert not Halt.objects.exists()

    def test_more_that_is_missing_than_it_can_have_taken_is_a_drift_with_the_bound(
        self, planned: Planned, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        reserved = OrderIntent.objects.get().reserved_quote
        least = AccountAsset.objects.get(asset="ZUSD").booked - reserved
        exchange.totals["ZUSD"] = least - 1

        compare_twice(planned.run, context, clock)

        (drift,) = told(planned.run)
        assert isinstance(drift, AccountDrift)
        assert (drift.asset, drift.expected, drift.found) == ("ZUSD", least, least - 1)
        assert "there must be at least" in Halt.objects.get(code="account_drift").reason

    def test_another_asset_is_compared_as_ever(
        self, planned: Planned, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        Allocation.objects.create(
            bot_id=uuid4(), account_id=planned.run.credential_id, pair="ETHUSD", base_asset="XETH", quote_asset="ZUSD"
        )
        exchange.totals["XETH"] = Decimal(3)

        compare_twice(planned.run, context, clock)

        (drift,) = told(planned.run)
        assert isinstance(drift, AccountDrift)
        assert (drift.asset, drift.expected, drift.found) == ("XETH", Decimal(0), Decimal(3))

    def test_a_halt_of_a_drift_stays_until_the_order_is_resolved(
        self, planned: Planned, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        exchange.totals["ZUSD"] -= 5000
        compare_twice(planned.run, context, clock)
        exchange.totals["ZUSD"] += 5000
        compare_twice(planned.run, context, clock)
        assert Halt.objects.filter(code="account_drift", lifted_at=None).exists()

        intent_end(intent_id=planned.intent.id, state=IntentState.NOT_PLACED, code="resolved", evidence={}, now=clock())
        compare_twice(planned.run, context, clock)
        assert not Halt.objects.filter(lifted_at=None).exists()

    def test_its_balances_cannot_be_accepted(
        self, planned: Planned, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        exchange.totals["ZUSD"] -= 5000
        compare_twice(planned.run, context, clock)
        with pytest.raises(OrderNeedsPerson, match=planned.intent.cl_ord_id):
            balances_accept(
                credential_id=planned.run.credential_id, operator="Ada", because="It is known.", context=context
            )
        assert not AccountMovement.objects.exists()


@pytest.mark.django_db
class TestAcceptance:
    def test_a_difference_that_an_operator_accepts_ends_the_halt(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        account_compare(run.credential_id, context=context)
        exchange.totals["ZUSD"] -= 7
        compare_twice(run, context, clock)
        said = balances_accept(
            credential_id=run.credential_id, operator="Ada", because="A fee of the bank.", context=context
        )
        assert len(said) == 1
        assert not Halt.objects.filter(lifted_at=None).exists()
        movement = AccountMovement.objects.get()
        assert (movement.kind, movement.amount, movement.because) == ("accepted", -7, "Ada: A fee of the bank.")
        assert isinstance(told(run)[-1], AccountDriftResolved)

    def test_coins_of_a_bot_that_are_not_there_cannot_be_accepted_away(
        self, run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        account_compare(run.credential_id, context=context)
        exchange.totals["XXBT"] -= Decimal("0.01")
        compare_twice(run, context, clock)
        balances_accept(credential_id=run.credential_id, operator="Ada", because="They are gone.", context=context)
        assert Halt.objects.filter(lifted_at=None, code="account_drift").exists()

    def test_without_a_drift_there_is_nothing_to_accept(self, run: BotRun, context: ExecutionContext) -> None:
        with pytest.raises(NoDrift):
            balances_accept(credential_id=run.credential_id, operator="Ada", because="", context=context)
        assert not AccountMovement.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error", [ExchangeUnavailable("It does not answer."), KeyInvalid("The exchange does not know this key.")]
)
def test_a_comparison_that_fails_is_made_later(
    run: BotRun, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock, error: Exception
) -> None:
    exchange.on("balances", before=raising(error))
    assert account_compare(run.credential_id, context=context) is None
    assert accounts_to_compare(now=clock()) == []
    assert accounts_to_compare(now=clock() + AGAIN_AFTER_FAILURE * 10) == [run.credential_id]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("paper_exchange")
class TestOnThePaperExchange:
    @pytest.fixture
    def clock(self) -> SteppingClock:
        return SteppingClock(timezone.now())

    @pytest.fixture
    def traded(self) -> BotRun:
        run, _ = paper_bot()
        tick_run(run_id=run.id)
        assert Position.objects.get().base_volume > 0
        return run

    def context(self, clock: SteppingClock) -> ExecutionContext:
        return ExecutionContext(open_exchange=exchange_of, clock=clock, sleep=clock.sleep)

    def wallet(self, run: BotRun) -> Wallet:
        login = credential_open(credential_id=run.credential_id, user_id=run.user_id)
        account_id = ApiKey.objects.get(key=login.api_key).account_id
        return Wallet.objects.get(account_id=account_id, asset="ZUSD")

    def test_a_balance_that_changes_behind_the_platform_is_a_drift(self, traded: BotRun, clock: SteppingClock) -> None:
        context = self.context(clock)
        comparison = account_compare(traded.credential_id, context=context)
        assert comparison is not None
        assert comparison.differences == ()
        wallet = self.wallet(traded)
        Wallet.objects.filter(id=wallet.id).update(balance=wallet.balance - 50)
        compare_twice(traded, context, clock)
        [drift] = told(traded)
        assert isinstance(drift, AccountDrift)
        assert drift.difference == -50

    def test_a_deposit_is_none(self, traded: BotRun, clock: SteppingClock) -> None:
        context = self.context(clock)
        account_compare(traded.credential_id, context=context)
        with transaction.atomic():
            account_id = self.wallet(traded).account_id
            ledger = AccountLedger({account_id})
            ledger.deposit(account_id, "ZUSD", Decimal(500), at=timezone.now() + timedelta(seconds=1))
            ledger.save()
        comparison = account_compare(traded.credential_id, context=context)
        assert comparison is not None
        assert comparison.differences == ()
        assert [movement.amount for movement in AccountMovement.objects.all()] == [500]


@pytest.mark.django_db(transaction=True)
def test_the_bot_services_role_allocates_books_and_compares(
    exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE bot_service")
    try:
        run = running_bot(context)
        tick_run(run_id=run.id, context=context)
        account_compare(run.credential_id, context=context)
        exchange.totals["XXBT"] -= Decimal("0.01")
        compare_twice(run, context, clock)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
    assert len(told(run)) == 1
