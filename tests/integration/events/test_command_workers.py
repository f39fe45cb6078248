"""Commands through a real broker and real Celery workers: exact attempts, one run at a time, nothing lost to a kill."""

import itertools
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import pytest
from django.db import connection

from apps.events.brokers.rabbitmq.messages import outgoing_of
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher, Verdict
from apps.events.brokers.rabbitmq.wake_ups import WakeUpSender
from apps.events.models import CommandExecution, ProcessHeartbeat
from apps.messages.base import Command
from apps.messages.bots import StopBot, TickBot, TriggerTrade
from tests.chaos.network import Link
from tests.support.envelopes import envelope_of
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import eventually
from tests.support.workers.processes import BIN, ROOT, Processes

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ATTEMPTS = 5


# One that is not ready at once.
WORKER = [
    str(BIN / "celery"), "-A", "tests.support.workers.app", "worker",
    "-Q", "bot.trigger_trade", "-c", "1", "-l", "INFO",
]  # fmt: skip


@pytest.fixture
def processes(tmp_path: Path, rabbitmq: RabbitMQ) -> Iterator[Processes]:
    started = Processes(tmp_path)
    yield started
    started.kill_all()


@pytest.fixture(scope="module")
def lasting(
    tmp_path_factory: pytest.TempPathFactory, rabbitmq_vhost: RabbitMQ, django_db_setup: None
) -> Iterator[Processes]:
    started = Processes(tmp_path_factory.mktemp("lasting"))
    started.manage("run_retry_router")
    started.worker("bot.stop", children=3)
    yield started
    started.kill_all()


@pytest.fixture
def running(lasting: Processes, rabbitmq: RabbitMQ) -> Processes:
    """A router and a worker with three children, the same ones for every test that leaves them alive."""
    return lasting


def command(kind: type[Any] = StopBot, **fields: Any) -> Any:
    values = {
        "command_id": uuid4(),
        "bot_id": uuid4(),
        "user_id": uuid4(),
        "requested_at": NOW,
        "expires_at": NOW + timedelta(days=3650),
    }
    return kind.model_validate(values | fields)


def send(*commands: Command, copies: int = 1) -> None:
    publisher = ConfirmedPublisher("test")
    envelopes = [envelope_of(each, each.command_id, occurred_at=NOW) for each in commands]
    outcome = publisher.publish([outgoing_of(envelope) for envelope in envelopes for _ in range(copies)])
    publisher.close()
    assert set(outcome.verdicts) == {Verdict.CONFIRMED}, outcome.error


def row_of(subject: Command) -> CommandExecution:
    return CommandExecution.objects.get(command_id=subject.command_id)


def ends(subject: Command, state: str, *, seconds: float = 25.0) -> CommandExecution:
    found = CommandExecution.objects.filter(command_id=subject.command_id, state=state)
    eventually(found.exists, seconds=seconds, what=f"the state {state}")
    return found.get()


def test_a_command_that_always_fails_runs_exactly_as_often_as_allowed_and_is_put_away(
    running: Processes, rabbitmq: RabbitMQ
) -> None:
    failing = command()
    running.plan(failing.command_id, fails=99)

    send(failing)

    row = ends(failing, "failed")
    eventually(lambda: rabbitmq.count("bot.stop.dlq") == 1, what="the dead letter")
    # Longer than a retry delay: a sixth attempt would have come by now.
    time.sleep(2)
    assert running.attempts(failing.command_id) == [1, 2, 3, 4, 5]
    assert (row.attempts, row.reason) == (5, "RuntimeError: as planned")
    assert [line["code"] for line in running.diary(failing.command_id, "failure")] == ["internal_error"]
    [dead] = rabbitmq.take("bot.stop.dlq")
    headers = dead.properties["application_headers"]
    assert headers["x-dead-reason"] == "RuntimeError: as planned"
    assert headers["id"] == str(failing.command_id)
    assert rabbitmq.count("bot.stop") == rabbitmq.count("muckard.failures") == 0


def test_a_command_that_fails_twice_is_done_by_the_third_attempt_with_a_rung_between(
    running: Processes, rabbitmq: RabbitMQ
) -> None:
    failing = command()
    running.plan(failing.command_id, fails=2)

    send(failing)

    assert ends(failing, "done").attempts == 3
    times = [line["at"] for line in running.diary(failing.command_id, "start")]
    assert all(later - earlier >= 0.95 for earlier, later in itertools.pairwise(times))
    assert rabbitmq.count("bot.stop.dlq") == 0


def test_twenty_deliveries_of_one_command_run_it_once(running: Processes, rabbitmq: RabbitMQ) -> None:
    wanted = command()
    running.plan(wanted.command_id, seconds=1.5)

    send(wanted, copies=20)

    ends(wanted, "done")
    nothing_waits(rabbitmq)
    assert running.attempts(wanted.command_id) == [1]
    assert rabbitmq.count("bot.stop.dlq") == 0


def nothing_waits(rabbitmq: RabbitMQ) -> None:
    """All is quiet: nothing ready, nothing unacknowledged, nothing in a retry queue."""
    behind = ("muckard.failures", "muckard.failures.high", "muckard.retry.1s", "muckard.retry.high.1s")
    names = ("bot.stop", "bot.trigger_trade", *behind)

    def is_quiet() -> bool:
        listed = {each["name"]: each.get("messages", 1) for each in rabbitmq.call("GET", f"queues/{rabbitmq.vhost}")}
        return all(listed[name] == 0 for name in names) and all(rabbitmq.count(name) == 0 for name in names)

    eventually(is_quiet, seconds=40, what="quiet queues")


def test_a_killed_child_costs_one_attempt_and_no_waiting(running: Processes, rabbitmq: RabbitMQ) -> None:
    wanted = command()
    running.plan(wanted.command_id, dies=1)
    began = time.monotonic()

    send(wanted)

    assert ends(wanted, "done").attempts == 2
    assert time.monotonic() - began < 15, "the lease of a dead neighbour must not be waited for"
    assert running.attempts(wanted.command_id) == [1, 2]


def test_a_killed_worker_loses_nothing_and_its_run_does_not_go_on(
    processes: Processes, running: Processes, rabbitmq: RabbitMQ
) -> None:
    wanted = command(TriggerTrade)
    processes.plan(wanted.command_id, seconds=4)
    first = processes.worker("bot.trigger_trade")
    send(wanted)
    eventually(lambda: processes.attempts(wanted.command_id) == [1], what="the first run")

    # Its children end with it: the kernel tells them.
    first.send_signal(signal.SIGKILL)
    first.wait()
    processes.worker("bot.trigger_trade")

    assert ends(wanted, "done").attempts == 2
    nothing_waits(rabbitmq)
    assert [line["attempt"] for line in processes.diary(wanted.command_id, "end")] == [2]


def test_runs_that_never_end_and_runs_that_kill_their_worker_are_counted_and_ended(
    processes: Processes, running: Processes, rabbitmq: RabbitMQ
) -> None:
    polite, stubborn, deadly = (command(TriggerTrade) for _ in range(3))
    processes.plan(polite.command_id, seconds=60)
    processes.plan(stubborn.command_id, seconds=60, stubborn=True)
    processes.plan(deadly.command_id, dies=99)
    processes.worker("bot.trigger_trade", children=3, limits=(0.5, 1))

    send(polite, stubborn, deadly)

    for hopeless, code in ((polite, "internal_error"), (stubborn, "worker_lost"), (deadly, "worker_lost")):
        assert ends(hopeless, "failed", seconds=60).attempts == ATTEMPTS
        assert processes.attempts(hopeless.command_id) == [1, 2, 3, 4, 5]
        assert [line["code"] for line in processes.diary(hopeless.command_id, "failure")] == [code]
    eventually(lambda: rabbitmq.count("bot.trigger_trade.dlq") == 3, what="the dead letters")


def test_a_worker_creates_nothing_but_its_own_control_queue(processes: Processes, rabbitmq: RabbitMQ) -> None:
    queues, exchanges = rabbitmq.names("queues"), rabbitmq.names("exchanges")

    processes.worker("bot.start,bot.stop")

    assert [name for name in rabbitmq.names("queues") - queues if not name.endswith(".celery.pidbox")] == []
    assert rabbitmq.names("exchanges") - exchanges <= {"celery.pidbox", "reply.celery.pidbox", "celeryev"}


def test_a_queue_name_with_a_typo_ends_the_worker_and_creates_nothing(processes: Processes, rabbitmq: RabbitMQ) -> None:
    queues = rabbitmq.names("queues")
    result = subprocess.run(
        [str(BIN / "celery"), "-A", "tests.support.workers.app", "worker", "-Q", "bot.strat", "-c", "1"],
        cwd=ROOT, env=processes.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode != 0
    assert "bot.strat" in result.stderr
    assert rabbitmq.names("queues") == queues


def test_a_worker_waits_for_a_queue_that_is_missing_and_says_so(processes: Processes, rabbitmq: RabbitMQ) -> None:
    with rabbitmq.channel() as channel:
        channel.queue_delete("bot.trigger_trade")
    wanted = command(TriggerTrade)
    processes.start("waiting", WORKER, until="declare_topology")
    assert "bot.trigger_trade" not in rabbitmq.names("queues")

    rabbitmq.declare()
    send(wanted)

    ends(wanted, "done")


def test_a_child_killed_while_the_worker_waits_for_rabbitmq_does_not_end_it(
    processes: Processes, rabbitmq: RabbitMQ
) -> None:
    wanted = command(TriggerTrade)
    parts = urlsplit(rabbitmq.url)
    with Link(parts.port or 5672) as link:
        link.refuse()
        url = parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{link.port}").geturl()
        worker = processes.start("waiting", WORKER, until="Cannot connect", RABBITMQ_URL=url)
        child = psutil.Process(worker.pid).children()[0]
        child.kill()
        link.heal()
        send(wanted)

        ends(wanted, "done")
        assert worker.poll() is None
        assert len(psutil.Process(worker.pid).children()) == 1
        processes.kill_all()


def test_two_thousand_normal_commands_do_not_delay_an_urgent_one(
    processes: Processes, running: Processes, rabbitmq: RabbitMQ
) -> None:
    flood = [command() for _ in range(2000)]
    urgent = command(TriggerTrade)
    processes.worker("bot.trigger_trade", name="high")

    send(*flood)
    eventually(lambda: len(running.diary(flood[20].command_id, "end")) > 0, what="the flood to begin")
    sent_at = time.time()
    send(urgent)

    ends(urgent, "done")
    [end] = processes.diary(urgent.command_id, "end")
    assert end["at"] - sent_at < 2
    assert running.diary(flood[-1].command_id) == [], "the flood was over before the urgent one: nothing is shown"
    rabbitmq.purge()


def test_a_child_keeps_its_database_connection_and_makes_a_new_one_when_it_is_cut(
    processes: Processes, rabbitmq: RabbitMQ
) -> None:
    before, after = [command(TriggerTrade) for _ in range(20)], [command(TriggerTrade) for _ in range(5)]
    processes.worker("bot.trigger_trade", children=2)
    send(*before)
    eventually(lambda: CommandExecution.objects.filter(state="done").count() == 20, what="the first twenty")
    backends = {(line["pid"], line["backend"]) for line in processes.diary(what="start")}
    assert len(backends) == len({pid for pid, _ in backends}) == len({backend for _, backend in backends})

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(unnest(%s))", [[backend for _, backend in backends]])
    send(*after)

    eventually(lambda: CommandExecution.objects.filter(state="done").count() == 25, what="the others")
    assert set(CommandExecution.objects.values_list("attempts", flat=True)) == {1}


def test_a_worker_says_that_it_lives_and_takes_leave(processes: Processes, rabbitmq: RabbitMQ) -> None:
    worker = processes.worker("bot.trigger_trade", name="alive")
    beats = ProcessHeartbeat.objects.filter(name__startswith="alive-")
    eventually(beats.exists, what="the heartbeat")
    assert beats.get().state == "up"

    worker.terminate()
    worker.wait(20)

    eventually(lambda: not beats.exists(), what="the row to go")


def test_a_signal_runs_once_even_where_it_fails(processes: Processes, rabbitmq: RabbitMQ) -> None:
    bad, good = uuid4(), uuid4()
    processes.plan(bad, fails=1)
    processes.worker("bot.tick")
    sender = WakeUpSender()
    for run_id in (bad, good):
        sender.send(TickBot(bot_id=uuid4(), run_id=run_id, due_at=NOW), expires_seconds=5)
    sender.close()

    eventually(lambda: processes.diary(good, "tick"), what="the good tick")
    assert len(processes.diary(bad, "tick")) == 1
    eventually(lambda: rabbitmq.count("bot.tick") == 0, what="an empty queue")
    assert rabbitmq.count("muckard.failures") == 0
    assert CommandExecution.objects.count() == 0


def test_what_a_worker_cannot_decode_is_put_away_and_not_lost(running: Processes, rabbitmq: RabbitMQ) -> None:
    import amqp

    with rabbitmq.channel() as channel:
        alien = amqp.Message(b"\x80\x04N.", content_type="application/x-python-serialize", delivery_mode=2)
        channel.basic_publish(alien, exchange="muckard.commands", routing_key="bot.stop")

    eventually(lambda: rabbitmq.count("bot.stop.dlq") == 1, what="the dead letter")
