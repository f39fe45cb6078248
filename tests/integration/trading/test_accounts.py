"""Whose coins these are: orders, coins and proofs of one exchange account never meet the client of another."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from apps.messages.bots import StartBot
from apps.trading.errors import WrongAccount
from apps.trading.models.ledger import Fill, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.dependencies import Dependencies
from apps.trading.services.orders.placement import order_cancel, order_place, order_update, orders_sync
from apps.trading.services.orders.positions import position_ensure
from apps.trading.services.orders.reconciliation import orders_reconcile
from apps.trading.services.orders.unknown_outcome import intent_resolve
from apps.trading.services.runs.start import run_start
from apps.trading.services.runs.stop import run_stop
from apps.trading.services.runs.tick import tick_run
from tests.factories.fake_exchange import FakeExchange, SubmitFault
from tests.factories.trading import (
    NOW,
    Planned,
    SteppingClock,
    context_of,
    delivery_of,
    fake_exchange,
    only_intent,
    planned_order,
    running_bot,
    start_command,
    stop_command,
)

pytestmark = pytest.mark.django_db


class TwoAccounts:
    """A platform on which every credential but one opens account B. The one, given with `on_a`, opens account A."""

    def __init__(self) -> None:
        self.a, self.b = fake_exchange([30000] * 30), fake_exchange([30000] * 30)
        self.clock = SteppingClock()
        self.on_a: UUID | None = None
        self.context = replace(context_of(self.a, self.clock), open_exchange=self.open)

    def open(self, run: BotRun) -> FakeExchange:
        return self.a if run.credential_id == self.on_a else self.b


def elsewhere(planned: Planned) -> tuple[FakeExchange, Dependencies]:
    """Another account, opened for another credential."""
    other = fake_exchange([30000] * 30)
    return other, replace(planned.deps, credential_id=uuid4(), exchange=other)


def moved(run: BotRun, *, requested_at_minutes: int = 10, **config: object) -> StartBot:
    """A start of the same bot with something else in its definition."""
    facts = {**run.definition.model_dump(exclude={"risk"}), **config}
    command = start_command(bot_id=run.bot_id, requested_at=NOW + timedelta(minutes=requested_at_minutes), **facts)
    return command.model_copy(update={"user_id": run.user_id})


class TestAnOrderOfAnotherAccount:
    def test_is_not_sent(self) -> None:
        planned = planned_order(fake_exchange([30000] * 30))
        other, deps = elsewhere(planned)
        with pytest.raises(WrongAccount):
            order_place(lease=planned.lease, intent_id=planned.intent.id, deps=deps)
        assert other.calls == []
        assert only_intent().state == IntentState.PLANNED

    def test_in_doubt_is_not_looked_for_and_nothing_is_proved(self) -> None:
        """Filled on A; asked of B, it would be "proved absent"."""
        exchange = fake_exchange([30000] * 30)
        clock = SteppingClock()
        planned = planned_order(exchange, clock)
        exchange.next_submits.append(SubmitFault.LOST_AFTER)
        order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
        planned.lease.release()
        other, deps = elsewhere(planned)
        clock.sleep(400)
        with pytest.raises(WrongAccount) as refusal:
            intent_resolve(only_intent(), deps=deps)

        assert refusal.value.code == "wrong_account"
        assert other.calls == []
        intent = only_intent()
        assert intent.state == IntentState.UNKNOWN
        assert all("grade" not in each for each in intent.evidence)
        assert intent.reserved_quote > 0

        assert orders_reconcile(context=context_of(exchange, clock)) == 1
        assert only_intent().state == IntentState.FILLED
        assert Fill.objects.count() == 1

    def test_at_rest_is_neither_read_nor_cancelled(self) -> None:
        planned = planned_order(fake_exchange([30000] * 30), kind=OrderKind.REST, price=Decimal(20000))
        intent = order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps).intent
        other, deps = elsewhere(planned)
        for ask in (
            lambda: orders_sync([intent], deps=deps),
            lambda: order_cancel(intent, deps=deps),
            lambda: order_update(intent, None, deps=deps),
        ):
            with pytest.raises(WrongAccount):
                ask()
        assert other.calls == []
        assert only_intent().state == IntentState.OPEN
        assert only_intent().cancel_requested_at is None


class TestABotThatHasRun:
    def hold(self, accounts: TwoAccounts) -> BotRun:
        run = running_bot(accounts.context, strategy="dca", parameters={"every_candles": 700, "quote_amount": "100"})
        accounts.on_a = run.credential_id
        tick_run(run_id=run.id, context=accounts.context)
        run_stop(command=(command := stop_command(run)), delivery=delivery_of(command), context=accounts.context)
        assert accounts.a.totals["XXBT"] > 0
        return run

    def test_does_not_run_with_another_key(self) -> None:
        accounts = TwoAccounts()
        run = self.hold(accounts)
        accounts.b.totals["XXBT"] = Decimal(1)  # another bot's
        command = moved(run, credential_id=uuid4())
        with pytest.raises(WrongAccount, match="Clone it"):
            run_start(command=command, delivery=delivery_of(command), context=accounts.context)
        assert BotRun.objects.count() == 1
        assert accounts.b.totals["XXBT"] == 1

    def test_does_not_run_on_another_pair(self) -> None:
        accounts = TwoAccounts()
        run = self.hold(accounts)
        with pytest.raises(IntegrityError, match="another key or pair"), transaction.atomic():
            BotRun.objects.create(**_facts_of(run, pair="ETHUSD"))

    def test_the_table_refuses_another_key_too(self) -> None:
        accounts = TwoAccounts()
        run = self.hold(accounts)
        with pytest.raises(IntegrityError, match="another key or pair"), transaction.atomic():
            BotRun.objects.create(**_facts_of(run, credential_id=uuid4()))

    def test_sells_on_its_own_account_what_it_bought_there(self) -> None:
        accounts = TwoAccounts()
        run = self.hold(accounts)
        accounts.b.totals["XXBT"] = Decimal(1)
        command = stop_command(run, manner="flatten", requested_at=NOW + timedelta(minutes=20))
        run_stop(command=command, delivery=delivery_of(command), context=accounts.context)
        assert accounts.a.totals["XXBT"] == 0
        assert accounts.b.totals["XXBT"] == 1
        assert Position.objects.get().base_volume == 0


def test_orders_of_earlier_runs_are_cancelled_on_their_own_account() -> None:
    """A bot whose key was changed while that was still possible."""
    accounts = TwoAccounts()
    early = planned_order(accounts.a, accounts.clock, kind=OrderKind.REST, price=Decimal(20000))
    accounts.on_a = early.run.credential_id
    order_place(lease=early.lease, intent_id=early.intent.id, deps=early.deps)
    early.lease.release()
    run_stop(
        command=(pause := stop_command(early.run, manner="pause")),
        delivery=delivery_of(pause),
        context=accounts.context,
    )
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE bots.trading_bot_run DISABLE TRIGGER trading_bot_run_keeps_its_account")
    late = BotRun.objects.create(**_facts_of(early.run, credential_id=uuid4(), state=RunState.RUNNING, stopped_at=None))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE bots.trading_bot_run ENABLE TRIGGER trading_bot_run_keeps_its_account")
    position_ensure(
        bot_id=late.bot_id,
        credential_id=late.credential_id,
        pair=late.pair,
        base_asset="XXBT",
        quote_asset="ZUSD",
        now=NOW,
    )
    run_stop(
        command=(stop := stop_command(late, requested_at=NOW + timedelta(hours=1))),
        delivery=delivery_of(stop),
        context=accounts.context,
    )
    assert only_intent().state == IntentState.CANCELED
    assert "cancel" in accounts.a.calls
    assert accounts.b.calls == []


def test_the_tables_bind_an_order_to_its_runs_account() -> None:
    planned_order(fake_exchange([30000] * 30))
    with pytest.raises(IntegrityError, match="trading_intent_of_its_runs_account"), transaction.atomic():
        OrderIntent.objects.update(credential_id=uuid4())
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def _facts_of(run: BotRun, **changes: object) -> dict[str, object]:
    """The columns of another run of the same bot, later."""
    run.refresh_from_db()
    facts = {field.attname: getattr(run, field.attname) for field in BotRun._meta.fields if field.name != "id"}
    later = {"start_command_id": uuid4(), "started_at": run.started_at + timedelta(minutes=1)}
    return {**facts, **later, **changes}
