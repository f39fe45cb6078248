"""A Celery worker is down where its commands neither begin nor end nor renew their lease, and up while it works."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from apps.events.models import CommandExecution, ProcessHeartbeat
from apps.messages.bots import StopBot, TriggerTrade
from tests.integration.events.test_command_workers import command, ends, send
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import eventually
from tests.support.workers.processes import BIN, Processes

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT_SECONDS = 3.0


@pytest.fixture
def processes(tmp_path: Path, rabbitmq: RabbitMQ) -> Iterator[Processes]:
    started = Processes(tmp_path)
    yield started
    started.kill_all()


def beat() -> ProcessHeartbeat:
    return ProcessHeartbeat.objects.get(name__contains="@")


def is_in(state: str) -> bool:
    return ProcessHeartbeat.objects.filter(name__contains="@", state=state).exists()


def order(processes: Processes, node: str, what: str) -> None:
    """Celery's remote control, by its own command."""
    celery = [str(BIN / "celery"), "-A", "tests.support.workers.app", "control", "--timeout", "20"]
    celery += ["-d", node, what, "bot.trigger_trade"]
    assert processes.start(what, celery, until="OK").wait(60) == 0


def test_a_worker_whose_child_is_stopped_is_down_until_it_goes_on(processes: Processes, rabbitmq: RabbitMQ) -> None:
    worker = processes.worker("bot.stop", progress_limit=LIMIT_SECONDS)
    eventually(lambda: is_in("up"), what="the heartbeat")
    [child] = psutil.Process(worker.pid).children()
    child.suspend()
    try:
        subject = command(StopBot)
        send(subject)
        eventually(lambda: is_in("down"), what="the news of it")
        detail = beat().detail
        assert detail.startswith("No message was taken or finished for 3 s; waiting: 1.")
        assert "The 1 in progress renew no lease" in detail
    finally:
        child.resume()
    ends(subject, "done")
    eventually(lambda: is_in("up"), what="the news of its recovery")


def test_a_worker_that_no_longer_consumes_is_down(processes: Processes, rabbitmq: RabbitMQ) -> None:
    """Its queue was taken from it behind its back, as a fault of the broker or an operator may do."""
    processes.worker("bot.trigger_trade", progress_limit=LIMIT_SECONDS)
    eventually(lambda: is_in("up"), what="the heartbeat")
    node = beat().name
    order(processes, node, "cancel_consumer")
    subject = command(TriggerTrade)
    send(subject)

    eventually(lambda: is_in("down"), what="the news of it")
    assert beat().detail.endswith("RabbitMQ delivers nothing from bot.trigger_trade to this worker: restart it.")

    order(processes, node, "add_consumer")
    ends(subject, "done")
    eventually(lambda: is_in("up"), what="the news of its recovery")


def test_a_worker_with_one_long_command_that_renews_its_lease_is_up(processes: Processes, rabbitmq: RabbitMQ) -> None:
    """All slots are busy and more waits: the lease, renewed every ten seconds, is the progress."""
    processes.worker("bot.stop", progress_limit=20.0)
    long, behind = command(StopBot), command(StopBot)
    processes.plan(long.command_id, seconds=25)
    send(long)
    eventually(lambda: processes.attempts(long.command_id), what="the long command")
    send(behind)

    def is_done() -> bool:
        assert not is_in("down"), beat().detail
        return CommandExecution.objects.filter(command_id=behind.command_id, state="done").exists()

    eventually(is_done, what="the command behind it")
    assert is_in("up")


def test_an_idle_worker_is_up(processes: Processes, rabbitmq: RabbitMQ) -> None:
    processes.worker("bot.stop", progress_limit=0.5)
    eventually(lambda: is_in("up"), what="the heartbeat")
    seen = beat().beat_at
    eventually(lambda: (beat().beat_at - seen).total_seconds() > 3, what="some beats")
    assert (beat().state, beat().detail) == ("up", "")
