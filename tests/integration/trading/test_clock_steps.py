"""The clock of the machine is set back or forward: ticks, leases, pauses and looks go on at their pace."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from apps.exchange.errors import ExchangeUnavailable
from apps.trading.backlog import ticks_backlog
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderKind
from apps.trading.models.runs import BotRun
from apps.trading.selectors import LOOK_AT_MOST_AFTER, keys_to_reconcile
from apps.trading.services.context.run_lease import LEASE, lease_take
from apps.trading.services.orders.lifecycle import LATEST_DEADLINE
from apps.trading.services.orders.placement import POLL_OLD, POLL_YOUNG, order_place, resting_intents
from apps.trading.services.orders.positions import position_get
from apps.trading.services.orders.reconciliation import (
    PAUSE_AFTER_FAILURE,
    PAUSE_AFTER_REFUSAL,
    orders_reconcile,
)
from apps.trading.services.orders.unknown_outcome import SCHEDULE
from apps.trading.services.runs.decisions import exposure_of
from apps.trading.services.runs.events import TROUBLE_PERSISTS_AFTER, run_trouble
from apps.trading.services.runs.schedule import runs_take_due
from tests.factories.fake_exchange import SubmitFault
from tests.factories.trading import (
    NOW,
    SteppingClock,
    context_of,
    fake_exchange,
    only_intent,
    planned_order,
    running_bot,
)

pytestmark = pytest.mark.django_db

SET_BACK = [timedelta(minutes=minutes) for minutes in (1, 10, 30, 59, 60, 61, 24 * 60)]
HOUR = timedelta(hours=1)


def take(now: datetime) -> int:
    return len(runs_take_due(now=now, tick_seconds=1))


class TestTicks:
    @pytest.mark.parametrize("back", SET_BACK)
    def test_a_clock_set_back_stops_no_ticks(self, back: timedelta) -> None:
        running_bot(context_of(fake_exchange()))
        assert take(NOW) == 1

        now = NOW - back
        assert ticks_backlog(now=now).count == 1
        assert [take(now), take(now), take(now + timedelta(seconds=0.9))] == [1, 0, 0]
        assert [take(now + timedelta(seconds=each)) for each in (1, 2, 3)] == [1, 1, 1]

    def test_a_clock_set_forward_gives_one_tick_at_once_and_then_the_usual_ones(self) -> None:
        running_bot(context_of(fake_exchange()))
        take(NOW)

        now = NOW + HOUR
        assert [take(now), take(now), take(now + timedelta(seconds=1))] == [1, 0, 1]

    def test_schedulers_whose_clocks_differ_a_little_take_a_run_no_more_often(self) -> None:
        running_bot(context_of(fake_exchange()))
        take(NOW)

        assert take(NOW - timedelta(seconds=5)) == 0

    @pytest.mark.parametrize("back", SET_BACK)
    def test_a_pause_of_purchases_lasts_no_longer(self, back: timedelta) -> None:
        run = running_bot(context_of(fake_exchange()))
        take(NOW)
        BotRun.objects.update(entries_held_until=NOW + timedelta(seconds=60))

        take(NOW - back)

        run.refresh_from_db()
        assert exposure_of(run, position_get(run), now=NOW - back + timedelta(seconds=59)).entries_held
        assert not exposure_of(run, position_get(run), now=NOW - back + timedelta(seconds=60)).entries_held

    def test_a_trouble_that_lasts_is_told_after_its_thirty_seconds(self) -> None:
        run = running_bot(context_of(fake_exchange()))
        lease = lease_take(run_id=run.id, now=NOW)
        assert lease is not None
        run_trouble(lease=lease, error=ExchangeUnavailable("No answer."), now=NOW)

        for later in (timedelta(0), TROUBLE_PERSISTS_AFTER):
            run_trouble(lease=lease, error=ExchangeUnavailable("No answer."), now=NOW - HOUR + later)

        run.refresh_from_db()
        assert run.trouble_announced


class TestLeases:
    @pytest.mark.parametrize("back", SET_BACK)
    def test_the_lease_of_a_worker_that_is_gone_ends(self, back: timedelta) -> None:
        run = running_bot(context_of(fake_exchange()))
        first = lease_take(run_id=run.id, now=NOW)
        assert first is not None
        BotRun.objects.update(lease_owner="another-machine/1/2/3#4")

        assert lease_take(run_id=run.id, now=NOW + LEASE - timedelta(seconds=1)) is None
        second = lease_take(run_id=run.id, now=NOW - back)
        assert second is not None
        assert second.fence == first.fence + 1


class TestOrders:
    # Set back by less, the clock delays a look by that much.
    @pytest.mark.parametrize("back", SET_BACK[1:])
    def test_an_unknown_order_is_looked_for_in_the_hour_that_the_clock_was_set_back(self, back: timedelta) -> None:
        clock = SteppingClock()
        exchange = fake_exchange()
        planned = planned_order(exchange)
        exchange.next_submits.append(SubmitFault.LOST_AFTER)
        order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
        planned.lease.release()
        assert only_intent().state == IntentState.UNKNOWN

        clock.now = NOW - back
        assert orders_reconcile(context=context_of(exchange, clock)) == 1
        assert only_intent().state == IntentState.FILLED

    def test_one_that_is_not_found_is_looked_for_each_minute_and_not_all_the_time(self) -> None:
        clock = SteppingClock()
        exchange = fake_exchange()
        planned = planned_order(exchange)
        exchange.next_submits.append(SubmitFault.LOST_BEFORE)
        order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
        planned.lease.release()

        clock.now = NOW - HOUR
        looks = 0
        for _ in range(300):
            looks += orders_reconcile(context=context_of(exchange, clock))
            clock.sleep(1)
        assert looks == 5
        assert only_intent().state == IntentState.UNKNOWN

    def test_no_look_is_set_further_ahead_than_a_clock_set_back_is_told_by(self) -> None:
        waits = [
            LATEST_DEADLINE,
            POLL_YOUNG,
            POLL_OLD,
            PAUSE_AFTER_FAILURE,
            PAUSE_AFTER_REFUSAL,
            LEASE,
            timedelta(seconds=SCHEDULE.then_every),
            timedelta(seconds=max(SCHEDULE.looks)),
        ]
        assert max(waits) <= LOOK_AT_MOST_AFTER

    def test_a_resting_order_is_polled(self) -> None:
        exchange = fake_exchange()
        planned = planned_order(exchange, kind=OrderKind.REST, price=Decimal(100))
        order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
        intent = only_intent()
        assert resting_intents(intent.run_id, due_at=NOW) == []
        assert resting_intents(intent.run_id, due_at=NOW - HOUR) == [intent]

    def test_a_key_waits_for_its_next_look_while_the_clock_runs_on(self) -> None:
        exchange = fake_exchange()
        planned = planned_order(exchange)
        exchange.next_submits.append(SubmitFault.LOST_BEFORE)
        order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)

        assert keys_to_reconcile(now=NOW) == []
        assert len(keys_to_reconcile(now=NOW - HOUR)) == 1
