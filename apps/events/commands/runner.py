"""Doing what was ordered: functions become Celery tasks that run a command once, however often it is delivered.

    @executes(StartBot, on_failure=announce_failure)
    def start(command: StartBot, delivery: Delivery) -> None: ...

A handler may open transactions of its own; while it talks to an exchange it should hold none. It may run again after
a failure or a lost worker, so its effects belong into the transaction in which it calls `delivery.complete()`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson
import structlog
from celery import Task, shared_task
from celery.exceptions import Reject
from django.db import close_old_connections, connection, transaction
from django.utils import timezone

from apps.core.context import message_context, new_traceparent
from apps.core.errors import PlatformError
from apps.core.ids import new_id
from apps.core.redaction import mask_text
from apps.events.brokers.rabbitmq.headers import PREFIX, version_of
from apps.events.commands import executions
from apps.events.commands.executions import Claim, State, Verdict
from apps.events.commands.lease_keeper import LeaseKeeper
from apps.events.commands.worker.identity import this_worker
from apps.events.commands.worker.retry_on_disconnect import patiently
from apps.events.process.run_loop import DATABASE_ERRORS
from apps.messages.base import Command, InvalidPayload, WakeUp

logger = structlog.get_logger(__name__)

C = TypeVar("C", bound=Command)
S = TypeVar("S", bound=WakeUp)


class CommandDropped(Exception):
    """Raised by a handler: the command is no longer wanted, for the reason given. It is not tried again."""


class ExecutionLost(Exception):
    """Another worker has taken the command over. What this one has not committed must not be committed."""


class AttemptFailed(Exception):
    """Tells Celery that the delivery failed, so that it is rejected towards its next attempt. Text only: it crosses
    the pipe between two processes."""


@dataclass(frozen=True)
class Delivery:
    """One attempt at a command. `fence` grows with every attempt, of whichever worker."""

    command_id: UUID
    attempt: int
    max_attempts: int
    fence: int
    worker: str

    @property
    def is_last_attempt(self) -> bool:
        return self.attempt >= self.max_attempts

    def renew(self, *, now: datetime) -> None:
        """Prolongs the lease; the runtime also does so by itself while the handler runs. Raises ExecutionLost."""
        if not executions.renew(command_id=self.command_id, fence=self.fence, now=now):
            raise ExecutionLost(f"Command {self.command_id} is run by another worker.")

    def complete(self, *, now: datetime) -> None:
        """Marks the command done: call it in the transaction of its effects. Raises ExecutionLost."""
        if not self._finish(State.DONE, "", now) and not self.is_finished:
            raise ExecutionLost(f"Command {self.command_id} is run by another worker.")

    def fail(self, reason: str, *, now: datetime) -> None:
        """Marks the command failed for good. Raises ExecutionLost."""
        if not self._finish(State.FAILED, reason, now):
            raise ExecutionLost(f"Command {self.command_id} is run by another worker.")

    def drop(self, reason: str, *, now: datetime) -> None:
        """Marks the command as no longer wanted. Raises ExecutionLost."""
        if not self._finish(State.DROPPED, reason, now):
            raise ExecutionLost(f"Command {self.command_id} is run by another worker.")

    def release(self, reason: str) -> None:
        """Ends this attempt, so that the next may begin. Raises ExecutionLost."""
        if not executions.release(command_id=self.command_id, fence=self.fence, reason=reason):
            raise ExecutionLost(f"Command {self.command_id} is run by another worker.")

    @property
    def is_finished(self) -> bool:
        return executions.is_finished_by(command_id=self.command_id, fence=self.fence)

    def _finish(self, state: str, reason: str, now: datetime) -> bool:
        return executions.finish(command_id=self.command_id, fence=self.fence, state=state, reason=reason, now=now)


CommandHandler = Callable[[C, Delivery], None]
FailureHandler = Callable[[C, str, str, datetime], None]


@dataclass(frozen=True)
class Executor:
    """A command class, what runs it, and who is told when it has failed for good."""

    command: type[Command]
    handle: CommandHandler[Any]
    on_failure: FailureHandler[Any] | None


# By the command's name and version.
_executors: dict[tuple[str, int], Executor] = {}


def executes(
    command: type[C], *, on_failure: FailureHandler[C] | None = None
) -> Callable[[CommandHandler[C]], CommandHandler[C]]:
    """Registers the function as the Celery task of the command's name, which all its versions share.

    `on_failure(command, error_code, message, now)` runs once, in a transaction, when no attempt is left or the failure
    is final (a PlatformError that is not retryable).
    """

    def register(handle: CommandHandler[C]) -> CommandHandler[C]:
        identity = (command.declaration.name, command.declaration.version)
        known = _executors.get(identity)
        if known is not None and known.handle.__qualname__ != handle.__qualname__:
            raise TypeError(
                f"{identity[0]} is executed twice: by {known.handle.__qualname__} and {handle.__qualname__}."
            )
        is_first_version = all(name != command.declaration.name for name, _ in _executors)
        _executors[identity] = Executor(command, handle, on_failure)
        if is_first_version:
            _register_task(command.declaration.name)
        return handle

    return register


def _register_task(name: str) -> None:
    @shared_task(bind=True, name=name)
    def task(self: "Task[Any, Any]", /, **payload: Any) -> str:
        close_old_connections()
        headers = self.request.headers or {}
        executor = _executors.get((name, version_of(headers)))
        if executor is None:
            # A newer service ordered it: workers of that version may take it.
            raise Reject(f"unknown version {version_of(headers)} of {name}", requeue=False)
        try:
            return run(executor, orjson.dumps(payload), headers, now=timezone.now())
        except NotNow as reason:
            raise Reject(str(reason), requeue=False) from None


def on_signal(signal: type[S]) -> Callable[[Callable[[S], None]], Callable[[S], None]]:
    """Registers the function as the Celery task of the signal's name. A signal that fails is logged and forgotten."""

    def register(handle: Callable[[S], None]) -> Callable[[S], None]:
        @shared_task(name=signal.declaration.name, acks_late=False)
        def task(**payload: Any) -> None:
            close_old_connections()
            with message_context(correlation_id=new_id()):
                try:
                    handle(signal.parse(orjson.dumps(payload)))
                except Exception:
                    logger.exception("signal_failed", signal=signal.declaration.name, payload=payload)

        return handle

    return register


def execute(command: Command, *, headers: Mapping[str, Any] | None = None, now: datetime | None = None) -> str:
    """Runs the command in this process as a worker would, and says how it ended. Raises AttemptFailed, NotNow."""
    executor = _executors[command.declaration.name, command.declaration.version]
    return run(executor, command.canonical_bytes(), headers or {}, now=now or timezone.now())


class NotNow(Exception):
    """Another delivery of the command is being worked on; this one waits a rung, which is not an attempt."""


def run(executor: Executor, payload: bytes, headers: Mapping[str, Any], *, now: datetime) -> str:
    """One delivery of a command, from the claim to its end. The text says how it ended, for Flower and the log."""
    try:
        command = executor.command.parse(payload)
    except InvalidPayload as error:
        # No later attempt would read it better; the message ends in the dead-letter queue.
        raise AttemptFailed(str(error)) from None
    worker = this_worker()
    with _context_of(command, headers):
        claim = _claim(command, worker, now)
        log = logger.bind(command=command.declaration.name, command_id=str(command.command_id), attempt=claim.attempt)
        if claim.verdict == Verdict.BUSY:
            raise NotNow("busy: another worker runs this command")
        if claim.verdict == Verdict.FINISHED:
            return _already_finished(claim)
        delivery = Delivery(command.command_id, claim.attempt, executions.max_attempts(), claim.fence, worker)
        try:
            return _run_claimed(executor, command, delivery, claim, now)
        except ExecutionLost as error:
            log.warning("command_lost", reason=str(error))
            return "lost to another worker"


def _claim(command: Command, worker: str, now: datetime) -> Claim:
    try:
        return executions.claim(command, worker=worker, now=now)
    except DATABASE_ERRORS:
        patiently(lambda: executions.disclaim(command, worker=worker, claimed_at=now))
        raise


def _run_claimed(executor: Executor, command: Command, delivery: Delivery, claim: Claim, now: datetime) -> str:
    if claim.verdict == Verdict.EXHAUSTED:
        message = "The worker was lost on the last attempt."
        _fail(executor, command, delivery, code="worker_lost", message=message, reason=message)
        raise AttemptFailed("worker lost on the last attempt")
    expires_at: datetime | None = getattr(command, "expires_at", None)
    if expires_at is not None and expires_at <= now:
        return _drop(delivery, f"expired at {expires_at.isoformat()}")
    try:
        with LeaseKeeper(command_id=command.command_id, fence=delivery.fence):
            executor.handle(command, delivery)
    except ExecutionLost:
        raise
    except CommandDropped as reason:
        return _drop(delivery, str(reason))
    except Exception as error:
        return _after_failure(executor, command, delivery, error)
    patiently(lambda: delivery.complete(now=timezone.now()))
    return "done"


def _after_failure(executor: Executor, command: Command, delivery: Delivery, error: Exception) -> str:
    """Final: acknowledged. Otherwise raises AttemptFailed, which leads to the next attempt or the dead-letter queue."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    reason = mask_text(f"{type(error).__name__}: {error}")
    if patiently(lambda: delivery.is_finished):
        logger.exception("command_failed_after_completion", command_id=str(delivery.command_id), reason=reason)
        return "done"
    if isinstance(error, PlatformError):
        code, message, is_final = error.code, error.message, not error.retryable
    else:
        code, message, is_final = "internal_error", "The command failed for an unexpected reason.", False
    if is_final or delivery.is_last_attempt:
        _fail(executor, command, delivery, code=code, message=message, reason=reason)
    else:
        patiently(lambda: delivery.release(reason))
    if is_final:
        return f"failed: {code}"
    raise AttemptFailed(f"attempt {delivery.attempt} of {delivery.max_attempts}: {reason}") from error


def _fail(executor: Executor, command: Command, delivery: Delivery, *, code: str, message: str, reason: str) -> None:
    """The command's end without success, and the news of it, in one transaction."""

    def fail() -> None:
        now = timezone.now()
        with transaction.atomic():
            if delivery.is_finished:  # by an earlier call whose answer was lost
                return
            delivery.fail(reason, now=now)
            if executor.on_failure is not None:
                executor.on_failure(command, code, message, now)

    patiently(fail)


def _drop(delivery: Delivery, reason: str) -> str:
    def drop() -> None:
        if not delivery.is_finished:
            delivery.drop(reason, now=timezone.now())

    patiently(drop)
    return f"dropped: {reason}"


def _already_finished(claim: Claim) -> str:
    if claim.state == State.FAILED and claim.attempt >= executions.max_attempts():
        # Its worker ended between the last attempt's commit and the rejection: the message still has to be put away.
        raise AttemptFailed("failed on the last attempt")
    return f"already {claim.state}"


def _context_of(command: Command, headers: Mapping[str, Any]) -> Any:
    """What the handler publishes was caused by this command, and belongs to the request that ordered it."""
    correlation = headers.get(f"{PREFIX}correlationid")
    return message_context(
        correlation_id=UUID(correlation) if correlation else new_id(),
        causation_id=command.command_id,
        traceparent=str(headers.get("traceparent") or new_traceparent()),
    )
