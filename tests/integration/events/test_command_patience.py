"""PostgreSQL goes away in the middle of an attempt: the next attempt need not wait for the end of the lease."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, transaction

from apps.core.errors import Conflict
from apps.events.commands import executions, runner
from apps.events.commands.delivery import AttemptFailed, Delivery
from apps.events.commands.executions import Verdict
from apps.events.commands.runner import Executor
from apps.events.commands.worker import retry_on_disconnect
from apps.events.models import CommandExecution
from apps.messages.bots import StopBot

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_on_disconnect, "PAUSE_SECONDS", 0.01)


def stop_bot() -> StopBot:
    return StopBot(
        command_id=uuid4(), bot_id=uuid4(), user_id=uuid4(), requested_at=NOW, expires_at=NOW + timedelta(days=3650)
    )


def state_of(command: StopBot) -> str:
    return CommandExecution.objects.get(command_id=command.command_id).state


class Lost:
    """Does what it wraps, and loses the answers to the first calls."""

    def __init__(self, answers_lost: int) -> None:
        self.calls = 0
        self.answers_lost = answers_lost

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.answers_lost:
            raise OperationalError("server closed the connection unexpectedly")
        return "done"


@pytest.mark.django_db(transaction=True)
def test_what_ends_an_attempt_is_said_again_until_postgresql_answers() -> None:
    work = Lost(answers_lost=3)

    assert retry_on_disconnect.retry_on_disconnect(work) == "done"
    assert work.calls == 4


@pytest.mark.django_db(transaction=True)
def test_patience_ends_before_a_lease_does() -> None:
    work = Lost(answers_lost=10**6)

    with pytest.raises(OperationalError):
        retry_on_disconnect.retry_on_disconnect(work, seconds=0.05)
    assert executions.LEASE.total_seconds() > retry_on_disconnect.RETRY_SECONDS


@pytest.mark.django_db(transaction=True)
def test_nothing_is_said_again_inside_a_transaction_that_is_lost_anyway() -> None:
    work = Lost(answers_lost=1)

    with pytest.raises(OperationalError), transaction.atomic():
        retry_on_disconnect.retry_on_disconnect(work)
    assert work.calls == 1


def test_releasing_again_is_no_loss_until_somebody_else_has_claimed() -> None:
    command = stop_bot()
    first = executions.claim(command, worker="here/a/1/1", now=NOW)

    assert executions.release(command_id=command.command_id, fence=first.fence, reason="failed")
    assert executions.release(command_id=command.command_id, fence=first.fence, reason="failed")

    second = executions.claim(command, worker="there/b/2/2", now=NOW)
    assert second.verdict is Verdict.CLAIMED
    assert not executions.release(command_id=command.command_id, fence=first.fence, reason="failed")
    assert state_of(command) == "running"


def test_only_the_very_claim_is_taken_back() -> None:
    command = stop_bot()
    executions.claim(command, worker="here/a/1/1", now=NOW)

    executions.release_unconfirmed_claim(command, worker="there/b/2/2", claimed_at=NOW)
    executions.release_unconfirmed_claim(command, worker="here/a/1/1", claimed_at=NOW - timedelta(seconds=1))
    assert state_of(command) == "running"

    executions.release_unconfirmed_claim(command, worker="here/a/1/1", claimed_at=NOW)
    assert state_of(command) == "retrying"


@pytest.mark.django_db(transaction=True)
def test_a_claim_whose_answer_is_lost_is_free_for_the_next_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    command = stop_bot()
    runs: list[Delivery] = []
    executor = Executor(StopBot, lambda _, delivery: runs.append(delivery), None)
    claim = executions.claim

    def claim_and_lose_the_answer(*args: object, **kwargs: object) -> None:
        claim(*args, **kwargs)  # type: ignore[arg-type]
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(executions, "claim", claim_and_lose_the_answer)
    with pytest.raises(OperationalError):
        runner.run(executor, command.canonical_bytes(), {}, now=NOW)
    monkeypatch.setattr(executions, "claim", claim)

    assert runner.run(executor, command.canonical_bytes(), {}, now=NOW) == "done"
    assert [delivery.attempt for delivery in runs] == [2]


@pytest.mark.django_db(transaction=True)
def test_an_attempt_that_fails_with_its_connection_is_released_over_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    command = stop_bot()
    release, lost = Delivery.release, Lost(answers_lost=1)

    def lose_the_first_answer(self: Delivery, reason: str) -> None:
        release(self, reason)
        lost()

    def fail(_: StopBot, __: Delivery) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(Delivery, "release", lose_the_first_answer)
    with pytest.raises(AttemptFailed):
        runner.run(Executor(StopBot, fail, None), command.canonical_bytes(), {}, now=NOW)

    assert state_of(command) == "retrying"


@pytest.mark.django_db(transaction=True)
def test_a_failure_whose_answer_is_lost_is_announced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    command, lost = stop_bot(), Lost(answers_lost=1)
    told: list[str] = []

    def tell(_: StopBot, code: str, __: str, ___: datetime) -> None:
        told.append(code)

    def fail(_: StopBot, __: Delivery) -> None:
        raise Conflict("never")

    class LostCommit(transaction.Atomic):
        def __exit__(self, *args: Any) -> None:
            super().__exit__(*args)
            lost()

    monkeypatch.setattr(transaction, "atomic", lambda: LostCommit(None, True, False))
    outcome = runner.run(Executor(StopBot, fail, tell), command.canonical_bytes(), {}, now=NOW)

    assert (outcome, told, state_of(command)) == ("failed: conflict", ["conflict"], "failed")
    assert lost.calls == 2
