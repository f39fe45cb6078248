"""What became of an order whose outcome is unknown: only evidence says so, and it is never sent again."""

from datetime import timedelta
from decimal import Decimal
from math import ceil

import pytest
from django.core.management import call_command
from django.db.models import Min

from apps.core.terms import Side
from apps.events.store.selectors import stream_list
from apps.exchange.errors import ExchangeUnavailable, HistoryTooLong, KeyInvalid
from apps.exchange.types import OrderRequest, OrderStatus, OrderType
from apps.messages.bots import BotError
from apps.trading.ids import new_client_order_id
from apps.trading.models.ledger import Fill, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.services.orders.lifecycle import intent_mark_cancel_requested
from apps.trading.services.orders.placement import order_place
from apps.trading.services.orders.reconciliation import orders_reconcile
from tests.factories.fake_exchange import FakeExchange, SubmitFault, raising
from tests.factories.trading import NOW, SteppingClock, context_of, fake_exchange, only_intent, planned_order

pytestmark = pytest.mark.django_db


class Doubt:
    """An order whose answer was lost, and the reconciler at work."""

    def __init__(self, fault: SubmitFault, *, kind: OrderKind = OrderKind.TAKE, price: int = 30000) -> None:
        self.exchange: FakeExchange = fake_exchange([30000] * 30)
        self.clock = SteppingClock()
        self.context = context_of(self.exchange, self.clock)
        planned = planned_order(self.exchange, self.clock, kind=kind, price=Decimal(price))
        self.run, self.deps = planned.run, planned.deps
        self.exchange.next_submits.append(fault)
        order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
        planned.lease.release()

    @property
    def after_deadline(self) -> float:
        return (self.clock.now - NOW).total_seconds() - 5

    def pass_until(self, seconds_after_deadline: int) -> OrderIntent:
        """The reconciler's rounds, one a second, up to a moment. Those before the next look are left out."""
        while (left := seconds_after_deadline - self.after_deadline) > 0:
            self.clock.sleep(min(self._until_next_look(), ceil(left)))
            self.exchange.now = self.clock.now
            orders_reconcile(context=self.context)
        return only_intent()

    def _until_next_look(self) -> int:
        due_at = OrderIntent.objects.aggregate(due_at=Min("next_check_at"))["due_at"]
        return max(1, ceil((due_at - self.clock.now).total_seconds())) if due_at else 60

    def stranger(self, side: Side = Side.BUY, client_order_id: str = "x") -> str:
        """Another order of the account on the pair, filled at once; with `client_order_id` "" it carries none."""
        request = OrderRequest(
            pair="XBTUSD",
            side=side,
            order_type=OrderType.MARKET,
            volume=Decimal("0.002"),
            client_order_id=client_order_id or "x",
            deadline=self.clock.now,
        )
        self.exchange.submit(request)
        order = self.exchange.placed[-1]
        if not client_order_id:
            self.exchange.rewrite(order.exchange_order_id, client_order_id=None)
        return order.exchange_order_id


def assert_adopted(doubt: Doubt) -> None:
    [order] = doubt.exchange.placed
    intent = only_intent()
    assert intent.txid == order.exchange_order_id
    assert len(doubt.exchange.submitted) == 1


class TestFound:
    def test_a_resting_order_is_adopted_from_the_open_ones(self) -> None:
        doubt = Doubt(SubmitFault.LOST_AFTER, kind=OrderKind.REST, price=29000)
        intent = doubt.pass_until(1)
        assert (intent.state, intent.evidence[-1]["source"]) == (IntentState.OPEN, "OpenOrders")
        assert_adopted(doubt)

    def test_an_order_that_filled_at_once_is_adopted_from_the_ended_ones_with_its_fill(self) -> None:
        doubt = Doubt(SubmitFault.LOST_AFTER)
        intent = doubt.pass_until(1)
        assert (intent.state, intent.evidence[-1]["source"]) == (IntentState.FILLED, "ClosedOrders")
        assert_adopted(doubt)
        assert Fill.objects.count() == 1
        assert Position.objects.get().base_volume == intent.volume

    def test_nobody_looks_before_the_deadline(self) -> None:
        doubt = Doubt(SubmitFault.LOST_AFTER)
        assert doubt.pass_until(-1).state == IntentState.UNKNOWN

    def test_an_order_that_becomes_visible_after_55_seconds_is_adopted(self) -> None:
        doubt = Doubt(SubmitFault.LOST_AFTER)
        exchange_order_id = doubt.exchange.placed[0].exchange_order_id
        doubt.exchange.hide(exchange_order_id)
        assert doubt.pass_until(54).state == IntentState.UNKNOWN
        doubt.exchange.reveal(exchange_order_id)
        assert doubt.pass_until(61).state == IntentState.FILLED
        assert_adopted(doubt)
        assert Fill.objects.count() == 1

    def test_an_order_that_ended_with_a_part_filled_keeps_the_part(self) -> None:
        doubt = Doubt(SubmitFault.LOST_AFTER, kind=OrderKind.REST, price=29000)
        exchange_order_id = doubt.exchange.placed[0].exchange_order_id
        doubt.exchange.fill(exchange_order_id, Decimal("0.004"))
        doubt.exchange.end(exchange_order_id, OrderStatus.CANCELED)
        intent = doubt.pass_until(1)
        assert (intent.state, intent.filled_volume) == (IntentState.CANCELED, Decimal("0.004"))

    def test_an_order_that_is_not_wanted_any_more_is_cancelled_when_it_is_found(self) -> None:
        doubt = Doubt(SubmitFault.LOST_AFTER, kind=OrderKind.REST, price=29000)
        intent_mark_cancel_requested(intent_id=only_intent().id, now=NOW)
        assert doubt.pass_until(1).state == IntentState.CANCELED
        assert doubt.exchange.placed[0].status == OrderStatus.CANCELED


class TestNotFound:
    def test_absence_is_proved_five_minutes_after_the_deadline_and_not_before(self) -> None:
        doubt = Doubt(SubmitFault.LOST_BEFORE)
        assert doubt.pass_until(299).state == IntentState.UNKNOWN
        intent = doubt.pass_until(301)
        assert (intent.state, intent.state_code) == (IntentState.NOT_PLACED, "proved_absent")
        assert intent.evidence[-1]["grade"] == "B"
        assert Position.objects.get().quote_reserved == 0
        assert doubt.exchange.placed == []

    def test_every_look_is_written_down(self) -> None:
        intent = Doubt(SubmitFault.LOST_BEFORE).pass_until(301)
        looks = [entry for entry in intent.evidence if entry.get("found") is False]
        assert len(looks) == intent.checks == 8

    def test_what_was_kept_back_stays_kept_back_while_in_doubt(self) -> None:
        intent = Doubt(SubmitFault.LOST_BEFORE).pass_until(200)
        assert Position.objects.get().quote_reserved == intent.reserved_quote > 0

    def test_an_exchange_that_does_not_answer_proves_nothing(self) -> None:
        doubt = Doubt(SubmitFault.LOST_BEFORE)
        doubt.pass_until(299)
        doubt.exchange.fail_reads(*[ExchangeUnavailable("It does not answer.")] * 10)
        assert doubt.pass_until(340).state == IntentState.UNKNOWN
        assert doubt.pass_until(360).state == IntentState.NOT_PLACED

    def test_a_key_that_does_not_work_is_left_alone_for_a_minute(self) -> None:
        doubt = Doubt(SubmitFault.LOST_AFTER)
        doubt.exchange.fail_reads(KeyInvalid("The exchange does not know the key."))
        assert doubt.pass_until(55).state == IntentState.UNKNOWN
        assert doubt.pass_until(62).state == IntentState.FILLED


class TestStrangers:
    def test_an_order_without_an_id_on_the_same_pair_and_side_may_be_ours(self) -> None:
        doubt = Doubt(SubmitFault.LOST_BEFORE)
        exchange_order_id = doubt.stranger(client_order_id="")
        intent = doubt.pass_until(301)
        assert (intent.state, intent.state_code) == (IntentState.NEEDS_HUMAN, "unattributed_activity")
        assert exchange_order_id in intent.evidence[-1]["unattributed"]
        assert Position.objects.get().quote_reserved == intent.reserved_quote > 0

    def test_the_user_is_told_once(self) -> None:
        doubt = Doubt(SubmitFault.LOST_BEFORE)
        doubt.stranger(client_order_id="")
        doubt.pass_until(400)
        story = [event.message() for event in stream_list(aggregate_type="bot", aggregate_id=doubt.run.bot_id)]
        assert [message.code for message in story if isinstance(message, BotError)] == ["order_needs_human"]

    def test_an_order_on_the_other_side_is_not_ours(self) -> None:
        doubt = Doubt(SubmitFault.LOST_BEFORE)
        doubt.exchange.totals["XXBT"] = Decimal(1)
        doubt.stranger(Side.SELL, client_order_id="")
        assert doubt.pass_until(301).state == IntentState.NOT_PLACED

    def test_an_order_under_another_client_id_is_somebody_elses(self) -> None:
        doubt = Doubt(SubmitFault.LOST_BEFORE)
        doubt.stranger(client_order_id="from-the-phone")
        assert doubt.pass_until(301).state == IntentState.NOT_PLACED

    def test_an_order_of_another_bot_is_that_bots(self) -> None:
        doubt = Doubt(SubmitFault.LOST_BEFORE)
        doubt.stranger(client_order_id=new_client_order_id(doubt.run.id))
        assert doubt.pass_until(301).state == IntentState.NOT_PLACED

    def test_an_order_from_long_before_is_not_ours(self) -> None:
        doubt = Doubt(SubmitFault.LOST_BEFORE)
        doubt.exchange.now = NOW - timedelta(minutes=2)
        doubt.stranger(client_order_id="")
        assert doubt.pass_until(301).state == IntentState.NOT_PLACED

    def test_a_history_that_cannot_be_read_whole_proves_nothing(self) -> None:
        doubt = Doubt(SubmitFault.LOST_BEFORE)
        doubt.exchange.on("trades_history", before=raising(HistoryTooLong("There are more than 2000 rows.")))
        intent = doubt.pass_until(301)
        assert (intent.state, intent.state_code) == (IntentState.NEEDS_HUMAN, "history_too_long")


def test_one_round_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("run_reconciler", "--once")
    assert capsys.readouterr().out == "0 orders looked at.\n"
