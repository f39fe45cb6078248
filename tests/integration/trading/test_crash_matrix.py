"""A worker dies at every point of placing an order. What the next one finds, and that there is one order in the end.

A death is a BaseException that nothing catches, with the lease left as it was.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from apps.events.models import OutboxRow
from apps.events.store.selectors import stream_list
from apps.messages.trading import BotTradeExecuted, TradeExecuted
from apps.trading.errors import LeaseLost
from apps.trading.models.ledger import Fill, LedgerEntry, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.services.context import run_lease
from apps.trading.services.orders import fills, placement
from apps.trading.services.orders.reconciliation import orders_reconcile
from apps.trading.services.runs import decisions, schedule
from apps.trading.services.runs.tick import TickOutcome, tick_run
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import SteppingClock, context_of, fake_exchange, only_intent, running_bot

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """kill -9, as far as a test in one process can go."""


class Scene:
    """A bot whose next tick buys, and what happens to its workers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.exchange: FakeExchange = fake_exchange()
        self.clock = SteppingClock()
        self.context = context_of(self.exchange, self.clock)
        self.run = running_bot(self.context)
        self._monkeypatch = monkeypatch

    def tick(self) -> TickOutcome:
        return tick_run(run_id=self.run.id, context=self.context)

    def die_in(self, module: object, name: str, *, after: bool = False) -> None:
        """One tick whose worker dies when it comes to a function, or when that has returned."""
        real: Callable[..., Any] = getattr(module, name)

        def die(*args: Any, **kwargs: Any) -> None:
            if after:
                real(*args, **kwargs)
            raise Killed

        with self._monkeypatch.context() as patch:
            patch.setattr(module, name, die)
            patch.setattr(run_lease.RunLease, "release", lambda lease: None)
            with pytest.raises(Killed):
                self.tick()

    def next_worker_comes(self) -> None:
        """The dead worker's lease runs out."""
        self.clock.now += run_lease.LEASE + timedelta(seconds=1)

    def reconcile_for(self, minutes: int) -> None:
        for _ in range(minutes * 12):
            orders_reconcile(context=self.context)
            self.clock.now += timedelta(seconds=5)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def assert_one_order_booked_once(exchange: FakeExchange) -> None:
    [order] = exchange.placed
    intent = OrderIntent.objects.get(txid=order.exchange_order_id)
    assert (intent.state, intent.filled_volume) == (IntentState.FILLED, order.executed_volume)
    [fill] = Fill.objects.all()
    position = Position.objects.get()
    assert (position.base_volume, position.quote_reserved) == (fill.volume, 0)
    assert LedgerEntry.objects.filter(fill=fill).count() == LedgerEntry.objects.count() == 5
    told = [
        event.event_id
        for kind, key in (("bot", intent.bot_id), ("credential", intent.credential_id))
        for event in stream_list(aggregate_type=kind, aggregate_id=key)
        if isinstance(event.message(), BotTradeExecuted | TradeExecuted)
    ]
    assert len(told) == 2
    assert OutboxRow.objects.filter(event_id__in=told, transport="kafka").count() == 2


def test_the_lease_of_a_dead_worker_keeps_others_away_until_it_runs_out(scene: Scene) -> None:
    scene.die_in(decisions, "order_place")
    assert scene.tick() == TickOutcome.BUSY
    scene.next_worker_comes()
    assert scene.tick() == TickOutcome.DECIDED


def test_before_the_intent_is_committed_there_is_nothing_and_it_is_decided_again(scene: Scene) -> None:
    scene.die_in(decisions, "intent_plan")
    assert OrderIntent.objects.count() == 0

    scene.next_worker_comes()
    scene.tick()
    assert_one_order_booked_once(scene.exchange)


def test_after_the_intent_and_before_sending_it_was_never_sent_and_is_decided_again(scene: Scene) -> None:
    scene.die_in(decisions, "intent_plan", after=True)
    assert only_intent().state == IntentState.PLANNED

    scene.next_worker_comes()
    scene.tick()
    first, second = OrderIntent.objects.order_by("attempt")
    assert (first.state, first.evidence[-1]["grade"]) == (IntentState.NOT_PLACED, "A")
    assert (second.attempt, second.decision_id) == (2, first.decision_id)
    assert_one_order_booked_once(scene.exchange)


def test_after_sending_was_noted_and_before_the_socket_it_is_in_doubt_until_its_absence_is_proved(scene: Scene) -> None:
    scene.die_in(placement, "intent_mark_sending", after=True)
    assert only_intent().state == IntentState.SENDING

    scene.next_worker_comes()
    scene.tick()
    assert only_intent().state == IntentState.UNKNOWN
    scene.reconcile_for(minutes=4)
    assert only_intent().state == IntentState.UNKNOWN
    assert scene.exchange.submitted == []

    scene.reconcile_for(minutes=3)
    intent = only_intent()
    assert (intent.state, intent.evidence[-1]["grade"]) == (IntentState.NOT_PLACED, "B")
    scene.tick()
    assert OrderIntent.objects.count() == 2
    assert_one_order_booked_once(scene.exchange)


def test_after_sending_and_before_the_answer_the_order_is_found_and_adopted(scene: Scene) -> None:
    scene.die_in(scene.exchange, "submit", after=True)
    assert only_intent().state == IntentState.SENDING

    scene.next_worker_comes()
    scene.tick()
    scene.reconcile_for(minutes=1)
    assert OrderIntent.objects.count() == len(scene.exchange.submitted) == 1
    assert_one_order_booked_once(scene.exchange)


def test_after_the_answer_and_before_its_commit_the_order_is_found_and_adopted(scene: Scene) -> None:
    scene.die_in(placement, "intent_accepted")
    assert only_intent().state == IntentState.SENDING

    scene.next_worker_comes()
    scene.reconcile_for(minutes=1)
    assert OrderIntent.objects.count() == len(scene.exchange.submitted) == 1
    assert_one_order_booked_once(scene.exchange)


def test_after_the_fill_and_before_it_is_stored_it_is_booked_by_the_next_worker(scene: Scene) -> None:
    scene.die_in(placement, "order_record")
    assert (only_intent().state, Fill.objects.count()) == (IntentState.OPEN, 0)

    scene.next_worker_comes()
    scene.tick()
    assert_one_order_booked_once(scene.exchange)


def test_within_the_fills_transaction_nothing_of_it_stays(scene: Scene) -> None:
    scene.die_in(fills, "_announce")
    assert (Fill.objects.count(), LedgerEntry.objects.count()) == (0, 0)
    assert Position.objects.get().base_volume == 0

    scene.next_worker_comes()
    scene.tick()
    assert_one_order_booked_once(scene.exchange)


def test_after_the_fill_is_stored_its_events_wait_in_the_outbox(scene: Scene) -> None:
    scene.die_in(placement, "order_record", after=True)
    assert_one_order_booked_once(scene.exchange)

    scene.next_worker_comes()
    scene.tick()
    assert_one_order_booked_once(scene.exchange)


def test_a_worker_that_is_known_to_be_dead_is_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.die_in(placement, "intent_accepted")
    monkeypatch.setattr(run_lease, "has_died", lambda worker: True)
    assert scene.tick() == TickOutcome.NOTHING_NEW
    assert only_intent().state == IntentState.UNKNOWN


def test_a_worker_that_wakes_up_after_its_lease_ran_out_writes_no_new_order(scene: Scene) -> None:
    """It was frozen between two steps; another one is at the bot."""
    stale = run_lease.lease_take(run_id=scene.run.id, now=scene.clock())
    assert stale is not None
    scene.next_worker_comes()
    scene.tick()
    deps = scene.context.deps(scene.run)
    with pytest.raises(LeaseLost):
        schedule.tick_end(lease=stale, due_at=scene.clock(), decided_candle_at=scene.clock(), now=scene.clock())
    with pytest.raises(LeaseLost):
        placement.order_place(lease=stale, intent_id=only_intent().id, deps=deps)
    assert_one_order_booked_once(scene.exchange)
