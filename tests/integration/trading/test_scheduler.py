"""Which runs are due, and that no tick is lost with a message."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable
from apps.events.brokers.rabbitmq.wake_ups import WakeUpSender
from apps.events.models import ProcessHeartbeat
from apps.messages.base import WakeUp
from apps.messages.bots import TickBot
from apps.trading import scheduler as scheduler_module
from apps.trading.models.runs import BotRun, RunState
from apps.trading.scheduler import Scheduler
from apps.trading.services.runs.schedule import runs_take_due
from tests.factories.trading import NOW, SteppingClock, context_of, fake_exchange, running_bot
from tests.support.rabbitmq import RabbitMQ

pytestmark = pytest.mark.django_db


class Recorder(WakeUpSender):
    """Stands where RabbitMQ would: the promise of the broker itself is tested with the broker."""

    def __init__(self) -> None:
        self.sent: list[WakeUp] = []
        self.is_down = False

    def send_all(self, wake_ups: list[WakeUp], *, expires_seconds: float) -> None:
        self.keep_alive()
        self.sent += wake_ups

    def keep_alive(self) -> None:
        if self.is_down:
            raise BrokerUnavailable("RabbitMQ does not answer.")

    def close(self) -> None:
        pass


@pytest.fixture
def sender() -> Recorder:
    return Recorder()


@pytest.fixture
def scheduler(sender: Recorder, monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    # Heartbeats are limited to one a second for each process; a test is quicker.
    monkeypatch.setattr("apps.events.process.heartbeats._written", {})
    return Scheduler(sender)


def due_bot() -> BotRun:
    run = running_bot(context_of(fake_exchange()))
    BotRun.objects.filter(id=run.id).update(next_tick_at=timezone.now() - timedelta(seconds=1))
    return run


class TestTakingDueRuns:
    def test_a_run_is_due_once_in_every_interval(self) -> None:
        run = running_bot(context_of(fake_exchange()))
        assert [due.run_id for due in runs_take_due(now=NOW, tick_seconds=2)] == [run.id]
        assert runs_take_due(now=NOW + timedelta(seconds=1.9), tick_seconds=2) == []
        assert [due.run_id for due in runs_take_due(now=NOW + timedelta(seconds=2), tick_seconds=2)] == [run.id]

    @pytest.mark.parametrize("state", [state for state in RunState if state != RunState.RUNNING])
    def test_only_running_runs_are_due(self, state: RunState) -> None:
        running_bot(context_of(fake_exchange()))
        BotRun.objects.update(state=state, stopped_at=None if state.is_live else NOW)
        assert runs_take_due(now=NOW + timedelta(days=1), tick_seconds=1) == []

    def test_the_longest_waiting_come_first(self) -> None:
        runs = [running_bot(context_of(fake_exchange())) for _ in range(3)]
        for number, run in enumerate(runs):
            BotRun.objects.filter(id=run.id).update(next_tick_at=NOW - timedelta(seconds=number))
        taken = {due.run_id for due in runs_take_due(now=NOW, tick_seconds=1, limit=2)}
        assert taken == {runs[1].id, runs[2].id}


def test_a_due_run_gets_a_signal_of_its_bot(scheduler: Scheduler, sender: Recorder) -> None:
    run = due_bot()
    scheduler.step()
    [wake_up] = sender.sent
    assert isinstance(wake_up, TickBot)
    assert (wake_up.bot_id, wake_up.run_id) == (run.bot_id, run.id)


def test_what_is_due_is_decided_by_the_clock_that_it_was_given(sender: Recorder) -> None:
    run = running_bot(context_of(fake_exchange()))
    clock = SteppingClock(NOW - timedelta(seconds=1))
    scheduler = Scheduler(sender, clock=clock)
    scheduler.step()
    assert sender.sent == []
    clock.sleep(1)
    scheduler.step()
    assert [signal.aggregate_id for signal in sender.sent] == [run.bot_id]


def test_the_broker_is_asked_once_a_second_while_nothing_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    seconds = iter([0.5, 1.5, 1.5, 2.0, 2.6, 2.6])
    now = [0.0]
    sender = Recorder()
    monkeypatch.setattr(sender, "keep_alive", lambda: asked.append(now[0]))
    scheduler = Scheduler(sender, monotonic=lambda: now[0])
    for now[0] in seconds:
        scheduler.step()
    assert asked == [1.5, 2.6]


def test_nothing_due_is_nothing_sent(scheduler: Scheduler, sender: Recorder) -> None:
    assert scheduler.step() == scheduler_module.POLL_SECONDS
    assert sender.sent == []


def test_while_the_broker_is_away_runs_stay_due(scheduler: Scheduler, sender: Recorder) -> None:
    run = due_bot()
    sender.is_down = True
    assert [scheduler.step() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    sender.is_down = False
    scheduler.step()
    assert [each.aggregate_id for each in sender.sent] == [run.bot_id]


def test_its_heartbeat_says_what_it_sees_of_the_broker(scheduler: Scheduler, sender: Recorder) -> None:
    sender.is_down = True
    scheduler.step()
    beat = ProcessHeartbeat.objects.get(name="scheduler")
    assert (beat.state, beat.detail) == ("down", "RabbitMQ does not answer.")
    sender.is_down = False
    scheduler.step()
    assert ProcessHeartbeat.objects.get(name="scheduler").state == "up"


def test_a_signal_for_an_unknown_run_does_nothing() -> None:
    from apps.trading.tasks import tick

    tick(TickBot(bot_id=uuid4(), run_id=uuid4(), due_at=NOW))
    assert BotRun.objects.count() == 0


def test_a_signal_waits_in_the_queue_of_the_workers_and_expires(rabbitmq: RabbitMQ) -> None:
    run = due_bot()
    scheduler = Scheduler()
    try:
        assert scheduler.step() == 0.0
    finally:
        scheduler.close()
    [message] = rabbitmq.take("bot.tick")
    assert str(run.id) in str(message.body)
    assert message.properties["expiration"] == "10000"
