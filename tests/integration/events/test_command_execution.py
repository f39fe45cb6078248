"""A command runs once however often it is delivered, as often as its attempts allow, and ends with a reason."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.utils import timezone

from apps.core.context import MessageContext, current_context
from apps.core.errors import Conflict, DependencyUnavailable
from apps.events.brokers.rabbitmq.headers import PREFIX
from apps.events.commands import executions, registry
from apps.events.commands.delivery import AttemptFailed, CommandDropped, Delivery, ExecutionBusy, ExecutionLost
from apps.events.commands.lease_keeper import LeaseKeeper
from apps.events.commands.runner import Executor
from apps.events.commands.worker.identity import has_died, this_worker
from apps.events.models import CommandExecution
from apps.messages.bots import StopBot

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ATTEMPTS = 1 + len(settings.ENVIRONMENT.retry_delays_seconds)


def stop_bot(**fields: Any) -> StopBot:
    values = {
        "command_id": uuid4(),
        "bot_id": uuid4(),
        "user_id": uuid4(),
        "requested_at": NOW,
        "expires_at": NOW + timedelta(days=3650),
    }
    return StopBot.model_validate(values | fields)


class Recorder:
    """A handler that does as it is told, and remembers."""

    def __init__(self) -> None:
        self.runs: list[Delivery] = []
        self.failures: list[tuple[UUID, str, str]] = []
        self.contexts: list[MessageContext] = []
        self.raises: Exception | None = None

    def handle(self, command: StopBot, delivery: Delivery) -> None:
        self.runs.append(delivery)
        self.contexts.append(current_context())
        if self.raises is not None:
            raise self.raises

    def on_failure(self, command: StopBot, code: str, message: str, now: datetime) -> None:
        self.failures.append((command.command_id, code, message))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder()
    before = dict(registry._executors)
    registry._executors["bot.stop", 1] = Executor(StopBot, made.handle, made.on_failure)
    yield made
    registry._executors.clear()
    registry._executors.update(before)


def row_of(command: StopBot) -> CommandExecution:
    return CommandExecution.objects.get(command_id=command.command_id)


def test_a_second_delivery_of_a_finished_command_runs_nothing(recorder: Recorder) -> None:
    command = stop_bot()

    assert registry.execute(command) == "done"
    assert registry.execute(command) == "already done"
    assert len(recorder.runs) == 1
    row = row_of(command)
    assert (row.state, row.attempts, row.fence, row.aggregate_id) == ("done", 1, 1, command.bot_id)


def test_a_delivery_during_a_run_waits_and_is_no_attempt(recorder: Recorder) -> None:
    command = stop_bot()
    executions.claim(command, worker=this_worker(), now=timezone.now())

    with pytest.raises(ExecutionBusy):
        registry.execute(command)
    assert recorder.runs == []
    assert row_of(command).attempts == 1


def test_an_expired_lease_is_taken_over_with_a_higher_fence(recorder: Recorder) -> None:
    command = stop_bot()
    executions.claim(command, worker="elsewhere/x/1/1", now=NOW)

    assert registry.execute(command) == "done"
    assert [(run.attempt, run.fence) for run in recorder.runs] == [(2, 2)]


def test_a_worker_killed_on_this_machine_is_succeeded_at_once(recorder: Recorder) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = open(f"/proc/{process.pid}/stat").read().rpartition(")")[2].split()[19]  # noqa: PTH123, SIM115
    host, machine, *_ = this_worker().split("/")
    worker = f"{host}/{machine}/{process.pid}/{started}"
    command = stop_bot()
    executions.claim(command, worker=worker, now=timezone.now())
    with pytest.raises(ExecutionBusy):
        registry.execute(command)

    process.kill()
    process.wait()

    assert registry.execute(command) == "done"
    assert [(run.attempt, run.fence) for run in recorder.runs] == [(2, 2)]


@pytest.mark.parametrize("worker", ["elsewhere/boot-1/1/1", "", "no separators", f"{os.uname().nodename}//x/1"])
def test_a_worker_of_another_machine_is_never_declared_dead(worker: str) -> None:
    assert not has_died(worker)


def test_a_process_that_got_a_dead_workers_number_is_not_that_worker() -> None:
    host, machine, pid, _ = this_worker().split("/")

    assert has_died(f"{host}/{machine}/{pid}/1")
    assert not has_died(this_worker())


def test_a_failing_command_runs_as_often_as_attempts_allow_and_its_failure_is_told_once(recorder: Recorder) -> None:
    command = stop_bot()
    recorder.raises = RuntimeError("password=hunter2 was refused")

    for _ in range(ATTEMPTS + 2):
        with pytest.raises(AttemptFailed):
            registry.execute(command)

    assert [run.attempt for run in recorder.runs] == list(range(1, ATTEMPTS + 1))
    assert [run.is_last_attempt for run in recorder.runs] == [False] * (ATTEMPTS - 1) + [True]
    message = "The command failed for an unexpected reason."
    assert recorder.failures == [(command.command_id, "internal_error", message)]
    row = row_of(command)
    assert (row.state, row.reason) == ("failed", "RuntimeError: password=*** was refused")


def test_a_final_failure_is_not_tried_again(recorder: Recorder) -> None:
    command = stop_bot()
    recorder.raises = Conflict("The bot does not run.")

    assert registry.execute(command) == "failed: conflict"
    assert registry.execute(command) == "already failed"
    assert len(recorder.runs) == 1
    assert recorder.failures == [(command.command_id, "conflict", "The bot does not run.")]


def test_a_retryable_failure_keeps_its_code_until_the_last_attempt(recorder: Recorder) -> None:
    command = stop_bot()
    recorder.raises = DependencyUnavailable("Kraken does not answer.")

    for _ in range(ATTEMPTS):
        with pytest.raises(AttemptFailed):
            registry.execute(command)
    assert recorder.failures == [(command.command_id, "dependency_unavailable", "Kraken does not answer.")]


def test_a_retry_that_succeeds_tells_no_failure(recorder: Recorder) -> None:
    command = stop_bot()
    recorder.raises = RuntimeError("once")
    with pytest.raises(AttemptFailed):
        registry.execute(command)
    recorder.raises = None

    assert registry.execute(command) == "done"
    assert recorder.failures == []
    assert (row_of(command).state, row_of(command).attempts) == ("done", 2)


def test_a_dropped_command_keeps_the_reason(recorder: Recorder) -> None:
    command = stop_bot()
    recorder.raises = CommandDropped("superseded by a later command")

    assert registry.execute(command) == "dropped: superseded by a later command"
    assert (row_of(command).state, row_of(command).reason) == ("dropped", "superseded by a later command")
    assert recorder.failures == []


def test_an_expired_command_is_dropped_unrun(recorder: Recorder) -> None:
    command = stop_bot(expires_at=NOW)

    assert registry.execute(command, now=NOW) == "dropped: expired at 2026-03-01T12:00:00+00:00"
    assert recorder.runs == []
    assert row_of(command).state == "dropped"


def test_a_worker_lost_on_the_last_attempt_fails_the_command_without_another_run(recorder: Recorder) -> None:
    command = stop_bot()
    executions.claim(command, worker="elsewhere/x/1/1", now=NOW)
    CommandExecution.objects.filter(command_id=command.command_id).update(attempts=ATTEMPTS)

    with pytest.raises(AttemptFailed):
        registry.execute(command)
    assert recorder.runs == []
    assert [code for _, code, _ in recorder.failures] == ["worker_lost"]
    assert (row_of(command).state, row_of(command).attempts) == ("failed", ATTEMPTS)


def test_a_run_that_lost_its_lease_cannot_complete(recorder: Recorder) -> None:
    command = stop_bot()
    claim = executions.claim(command, worker=this_worker(), now=NOW)
    late = Delivery(command.command_id, claim.attempt, ATTEMPTS, claim.fence, this_worker())
    assert registry.execute(command, now=NOW + timedelta(minutes=1)) == "done"

    for write in (late.complete, late.renew):
        with pytest.raises(ExecutionLost):
            write(now=NOW)
    with pytest.raises(ExecutionLost):
        late.release("too late")
    assert (row_of(command).state, row_of(command).fence) == ("done", 2)


def test_completing_inside_the_handler_and_again_by_the_runtime_is_one_completion(recorder: Recorder) -> None:
    command = stop_bot()
    registry._executors["bot.stop", 1] = Executor(StopBot, lambda _, delivery: delivery.complete(now=NOW), None)

    assert registry.execute(command) == "done"
    assert row_of(command).finished_at == NOW


def test_an_error_after_completion_does_not_run_the_command_again(recorder: Recorder) -> None:
    def handle(command: StopBot, delivery: Delivery) -> None:
        delivery.complete(now=NOW)
        raise RuntimeError("after the effects were committed")

    command = stop_bot()
    registry._executors["bot.stop", 1] = Executor(StopBot, handle, recorder.on_failure)

    assert registry.execute(command) == "done"
    assert recorder.failures == []


def test_what_a_handler_publishes_is_caused_by_the_command(recorder: Recorder) -> None:
    command, correlation = stop_bot(), uuid4()
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {f"{PREFIX}correlationid": str(correlation), "traceparent": traceparent}

    registry.execute(command, headers=headers)

    assert recorder.contexts == [
        MessageContext(correlation_id=correlation, causation_id=command.command_id, traceparent=traceparent)
    ]


@pytest.mark.django_db(transaction=True)
def test_the_lease_of_a_long_run_is_renewed() -> None:
    command = stop_bot()
    claim = executions.claim(command, worker=this_worker(), now=NOW)

    with LeaseKeeper(command_id=command.command_id, fence=claim.fence, every=timedelta(milliseconds=20)):
        deadline = timezone.now() + timedelta(seconds=5)
        while row_of(command).lease_until == NOW + executions.LEASE:
            assert timezone.now() < deadline
    renewed = row_of(command).lease_until
    assert renewed is not None
    assert renewed > timezone.now()


@pytest.mark.parametrize("back", [timedelta(minutes=1), timedelta(minutes=59), timedelta(hours=1), timedelta(days=1)])
def test_a_clock_set_back_prolongs_no_lease(recorder: Recorder, back: timedelta) -> None:
    command = stop_bot(requested_at=NOW - timedelta(days=2))
    executions.claim(command, worker="elsewhere/x/1/1", now=NOW)

    assert executions.claim(command, worker="other/x/1/1", now=NOW - timedelta(seconds=5)).verdict == "busy"
    assert executions.claim(command, worker="other/x/1/1", now=NOW - back).verdict == "claimed"
