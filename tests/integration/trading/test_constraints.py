"""What the database refuses, whatever the code believes."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from apps.core.terms import Side
from apps.trading.ids import new_client_order_id
from apps.trading.models.ledger import Fill, LedgerAccount, LedgerEntry, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.orders.announcements import order_save
from apps.trading.services.orders.placement import order_place, orders_sync, resting_intents
from apps.trading.services.runs.tick import tick_run
from tests.factories.trading import NOW, context_of, fake_exchange, only_intent, planned_order, running_bot

pytestmark = pytest.mark.django_db


@pytest.fixture
def intent() -> OrderIntent:
    return planned_order(fake_exchange([30000] * 30)).intent


def another(intent: OrderIntent, **changes: Any) -> OrderIntent:
    """A copy of an intent as a new row."""
    facts = {field.attname: getattr(intent, field.attname) for field in OrderIntent._meta.fields if field.name != "id"}
    return OrderIntent(**(facts | {"cl_ord_id": new_client_order_id(intent.bot_id)} | changes))


class TestIntents:
    def refuses(self, intent: OrderIntent, constraint: str) -> None:
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            order_save(intent, now=NOW, force_insert=True)

    def test_one_decision_is_one_order(self, intent: OrderIntent) -> None:
        self.refuses(another(intent, attempt=2, side="sell"), "trading_intent_one_order_a_decision")

    def test_an_exit_has_one_active_attempt(self, intent: OrderIntent) -> None:
        self.refuses(another(intent, attempt=2, side="sell", is_exit=True), "trading_intent_one_active_a_decision")

    @pytest.mark.parametrize("changes", [{"side": "buy"}, {"side": "sell", "command_id": uuid4()}])
    def test_an_exit_is_a_sale_that_no_command_asked_for(self, intent: OrderIntent, changes: dict[str, Any]) -> None:
        exit_ = another(intent, decision_id="x" * 32, is_exit=True, **changes)
        self.refuses(exit_, "trading_intent_exit_is_a_sale")

    def test_an_attempt_is_made_once(self, intent: OrderIntent) -> None:
        self.refuses(another(intent), "trading_intent_(decision_attempt|one_order_a_decision)")

    def test_one_active_order_a_side(self, intent: OrderIntent) -> None:
        self.refuses(another(intent, decision_id="x" * 32), "trading_intent_one_active_a_side")

    def test_a_client_id_is_used_once(self, intent: OrderIntent) -> None:
        self.refuses(
            another(intent, decision_id="x" * 32, side="sell", cl_ord_id=intent.cl_ord_id),
            "trading_order_intent_cl_ord_id_key",
        )

    @pytest.mark.parametrize(
        ("changes", "constraint"),
        [
            (
                {"state": "lost", "sent_at": NOW, "deadline": NOW, "reserved_quote": 0, "ended_at": NOW},
                "trading_intent_state",
            ),
            ({"side": "hold"}, "trading_intent_side"),
            ({"volume": Decimal(0)}, "trading_intent_"),
            ({"price": Decimal(0)}, "trading_intent_terms"),
            ({"filled_volume": Decimal(1)}, "trading_intent_filled_in_volume"),
            ({"reserved_quote": Decimal(-1)}, "trading_intent_reserved"),
            ({"state": IntentState.SENDING}, "trading_intent_sent_has_deadline"),
            ({"state": IntentState.REJECTED, "ended_at": NOW}, "trading_intent_ended_holds_nothing"),
            ({"state": IntentState.REJECTED, "reserved_quote": 0}, "trading_intent_ended_holds_nothing"),
            (
                {"state": IntentState.NOT_PLACED, "reserved_quote": 0, "ended_at": NOW},
                "trading_intent_left_doubt_with_evidence",
            ),
            ({"state": IntentState.OPEN, "sent_at": NOW, "deadline": NOW}, "trading_intent_placed_has_txid"),
            (
                {
                    "state": IntentState.FILLED,
                    "sent_at": NOW,
                    "deadline": NOW,
                    "txid": "O1",
                    "reserved_quote": 0,
                    "ended_at": NOW,
                },
                "trading_intent_filled_is_whole",
            ),
        ],
    )
    def test_a_state_that_cannot_be(self, intent: OrderIntent, changes: dict[str, Any], constraint: str) -> None:
        # The plain manager: what the database refuses where the code's own table of transitions is gone round.
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            OrderIntent._base_manager.filter(id=intent.id).update(**changes)


class TestRuns:
    def test_a_bot_has_one_live_run(self) -> None:
        context = context_of(fake_exchange())
        run = running_bot(context)
        other = running_bot(context)
        other.bot_id = run.bot_id
        with pytest.raises(IntegrityError, match="one_live_a_bot"), transaction.atomic():
            other.save()

    def test_an_ended_run_does_not_count(self) -> None:
        context = context_of(fake_exchange())
        run, other = running_bot(context), running_bot(context)
        BotRun.objects.filter(id=run.id).update(state=RunState.STOPPED, stopped_at=NOW)
        other.bot_id = run.bot_id
        other.save()
        assert BotRun.objects.filter(bot_id=run.bot_id).count() == 2

    @pytest.mark.parametrize(
        "changes", [{"state": "sleeping"}, {"state": RunState.STOPPED}, {"mode": "demo"}, {"lease_owner": "me"}]
    )
    def test_a_state_that_cannot_be(self, changes: dict[str, Any]) -> None:
        run = running_bot(context_of(fake_exchange()))
        with pytest.raises(IntegrityError, match="trading_bot_run"), transaction.atomic():
            BotRun.objects.filter(id=run.id).update(**changes)


class TestBooks:
    @pytest.fixture
    def fill(self) -> Fill:
        context = context_of(fake_exchange())
        tick_run(run_id=running_bot(context).id, context=context)
        return Fill.objects.get()

    @pytest.mark.parametrize(
        "changes",
        [
            {"base_volume": Decimal("-0.00000001")},
            {"quote_reserved": Decimal(-1)},
            {"base_reserved": Decimal(100)},
            {"quote_fees": Decimal(-1)},
        ],
    )
    def test_a_position_that_cannot_be(self, fill: Fill, changes: dict[str, Decimal]) -> None:
        with pytest.raises(IntegrityError, match="trading_position"), transaction.atomic():
            Position.objects.update(**changes)

    def test_a_trade_of_the_exchange_is_booked_once(self, fill: Fill) -> None:
        with pytest.raises(IntegrityError, match="trading_fill_once"), transaction.atomic():
            Fill.objects.create(
                intent=fill.intent,
                bot_id=fill.bot_id,
                credential_id=fill.credential_id,
                exchange_trade_id=fill.exchange_trade_id,
                price=1,
                volume=1,
                cost=1,
                fee=0,
                executed_at=NOW,
                recorded_at=NOW,
            )

    def test_postings_that_do_not_add_up_do_not_commit(self, fill: Fill) -> None:
        with pytest.raises(IntegrityError, match="do not add up"), transaction.atomic():
            LedgerEntry.objects.create(
                fill=fill, bot_id=fill.bot_id, account=LedgerAccount.FEES, asset="XXBT", amount=1, posted_at=NOW
            )
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE trading_ledger_entry SET amount = amount",
            "DELETE FROM trading_ledger_entry",
            "UPDATE trading_fill SET fee = 0",
            "DELETE FROM trading_fill",
        ],
    )
    def test_what_is_booked_stays_as_it_is(self, fill: Fill, change: str) -> None:
        with (
            pytest.raises(DatabaseError, match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(change)


parts = st.lists(
    st.tuples(
        st.decimals(min_value=Decimal("0.00000001"), max_value=Decimal("0.005"), places=8),
        st.decimals(min_value=1000, max_value=29000, places=1),
    ),
    min_size=1,
    max_size=6,
)


class BooksStayTrue(TestCase):
    """However an order is filled, in parts, at any price, asked about at any time."""

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(parts=parts, syncs=st.lists(st.booleans(), min_size=6, max_size=6), is_cancelled=st.booleans())
    def test_position_ledger_order_and_fills_agree(
        self, parts: list[tuple[Decimal, Decimal]], syncs: list[bool], is_cancelled: bool
    ) -> None:
        exchange = fake_exchange([30000] * 30)
        planned = planned_order(exchange, kind=OrderKind.REST, price=Decimal(29000), volume=Decimal("0.01"))
        order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
        [order] = exchange.placed
        left = order.volume
        for (volume, price), is_synced in zip(parts, syncs, strict=False):
            if (volume := min(volume, left)) > 0:
                exchange.fill(order.exchange_order_id, volume, price)
                left -= volume
            if is_synced:
                orders_sync(resting_intents(planned.run.id), deps=planned.deps)
        if is_cancelled and left:
            exchange.end(order.exchange_order_id)
        orders_sync(resting_intents(planned.run.id), deps=planned.deps)

        intent, position, [order] = only_intent(), Position.objects.get(), exchange.placed
        fills = list(Fill.objects.all())
        assert intent.filled_volume == order.executed_volume == sum(fill.volume for fill in fills)
        assert position.base_volume == intent.filled_volume
        assert position.quote_spent == sum(fill.cost + fill.fee for fill in fills)
        assert intent.is_active is order.status.is_live
        assert position.quote_reserved == intent.reserved_quote
        assert (intent.reserved_quote == 0) is (not intent.is_active)
        self._ledger_agrees(position)

    @staticmethod
    def _ledger_agrees(position: Position) -> None:
        entries = list(LedgerEntry.objects.all())
        for asset in ("XXBT", "ZUSD"):
            assert sum(entry.amount for entry in entries if entry.asset == asset) == 0
        of = {account: sum(e.amount for e in entries if e.account == account) for account in LedgerAccount}
        held = sum(e.amount for e in entries if e.account == LedgerAccount.POSITION)
        assert (held, of[LedgerAccount.CASH]) == (position.base_volume, -position.quote_spent)
        assert of[LedgerAccount.FEES] == position.quote_fees


def test_a_purchase_that_the_budget_does_not_cover_is_not_stored() -> None:
    from apps.trading.services.orders.lifecycle import DecidedOrder, intent_plan

    planned = planned_order(fake_exchange([30000] * 30), quote_budget=Decimal(400))
    OrderIntent._base_manager.update(
        state=IntentState.CANCELED, ended_at=NOW, reserved_quote=0, sent_at=NOW, deadline=NOW
    )
    order = DecidedOrder(Side.BUY, OrderKind.TAKE, Decimal(30000), Decimal("0.01"), "test", uuid4().hex)
    # The first order's reservation is still in the position: 302.4 of 400 are taken.
    assert intent_plan(lease=planned.lease, order=order, decides_candle=False, now=NOW) is None
    assert OrderIntent.objects.count() == 1
    assert Position.objects.get().quote_reserved == Decimal("302.4")
