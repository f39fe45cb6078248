"""Runs one delivery of a command, from the claim to its end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.utils import timezone

from apps.core.context import message_context, new_traceparent
from apps.core.errors import PlatformError
from apps.core.ids import new_id
from apps.core.redaction import mask_text
from apps.events.brokers.rabbitmq.headers import PREFIX
from apps.events.commands import executions, metrics
from apps.events.commands.delivery import AttemptFailed, CommandDropped, Delivery, ExecutionBusy, ExecutionLost
from apps.events.commands.executions import Claim, State, Verdict
from apps.events.commands.lease_keeper import LeaseKeeper
from apps.events.commands.worker.identity import this_worker
from apps.events.commands.worker.retry_on_disconnect import retry_on_disconnect
from apps.events.process.run_loop import DATABASE_ERRORS
from apps.messages.base import Command, InvalidPayload

logger = structlog.get_logger(__name__)

C = TypeVar("C", bound=Command)

CommandHandler = Callable[[C, Delivery], None]
FailureHandler = Callable[[C, str, str, datetime], None]


@dataclass(frozen=True)
class Executor:
    """A command class, its handler, and the callback for permanent failures."""

    command: type[Command]
    handle: CommandHandler[Any]
    on_failure: FailureHandler[Any] | None


def run(executor: Executor, payload: bytes, headers: Mapping[str, Any], *, now: datetime) -> str:
    """Returns a text that says how the delivery ended, for Flower and the log. Raises AttemptFailed, ExecutionBusy."""
    try:
        command = executor.command.parse(payload)
    except InvalidPayload as error:
        # No later attempt can succeed: the retry router moves the message to the dead-letter queue.
        raise AttemptFailed(str(error)) from None
    with metrics.attempt(command.declaration.name):
        try:
            text, outcome = _run(executor, command, headers, now)
        except AttemptFailed:
            metrics.attempts.labels(command.declaration.name, "retry").inc()
            raise
        except ExecutionBusy:
            metrics.attempts.labels(command.declaration.name, "busy").inc()
            raise
    metrics.attempts.labels(command.declaration.name, outcome).inc()
    return text


def _run(executor: Executor, command: Command, headers: Mapping[str, Any], now: datetime) -> tuple[str, str]:
    """As `run`, with the outcome for the metrics."""
    worker = this_worker()
    with _context_of(command, headers), structlog.contextvars.bound_contextvars(**_log_ids(command)):
        claim = _claim(command, worker, now)
        log = logger.bind(attempt=claim.attempt)
        if claim.verdict == Verdict.BUSY:
            raise ExecutionBusy("busy: another worker runs this command")
        if claim.verdict == Verdict.FINISHED:
            return _already_finished(claim), "repeated"
        if claim.attempt == 1:
            metrics.note_start(command.declaration.name, headers, now=now)
        delivery = Delivery(command.command_id, claim.attempt, executions.max_attempts(), claim.fence, worker)
        try:
            text = _run_claimed(executor, command, delivery, claim, now)
        except ExecutionLost as error:
            log.warning("command_lost", reason=str(error))
            return "lost to another worker", "lost"
        return text, text.partition(":")[0]


def _claim(command: Command, worker: str, now: datetime) -> Claim:
    try:
        return executions.claim(command, worker=worker, now=now)
    except DATABASE_ERRORS:
        retry_on_disconnect(lambda: executions.release_unconfirmed_claim(command, worker=worker, claimed_at=now))
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
    retry_on_disconnect(lambda: delivery.complete(now=timezone.now()))
    return "done"


def _after_failure(executor: Executor, command: Command, delivery: Delivery, error: Exception) -> str:
    """Returns if the failure is final. Otherwise raises AttemptFailed, which leads to a retry or a dead letter."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    reason = mask_text(f"{type(error).__name__}: {error}")
    if retry_on_disconnect(lambda: delivery.is_finished):
        logger.exception("command_failed_after_completion", command_id=str(delivery.command_id), reason=reason)
        return "done"
    if isinstance(error, PlatformError):
        code, message, is_final = error.code, error.message, not error.retryable
    else:
        code, message, is_final = "internal_error", "The command failed for an unexpected reason.", False
    if is_final or delivery.is_last_attempt:
        _fail(executor, command, delivery, code=code, message=message, reason=reason)
    else:
        retry_on_disconnect(lambda: delivery.release(reason))
    if is_final:
        return f"failed: {code}"
    raise AttemptFailed(f"attempt {delivery.attempt} of {delivery.max_attempts}: {reason}") from error


def _fail(executor: Executor, command: Command, delivery: Delivery, *, code: str, message: str, reason: str) -> None:
    """Marks the command failed and calls `on_failure`, in one transaction."""

    def fail() -> None:
        now = timezone.now()
        with transaction.atomic():
            if delivery.is_finished:  # by an earlier call whose answer was lost
                return
            delivery.fail(reason, now=now)
            if executor.on_failure is not None:
                executor.on_failure(command, code, message, now)

    retry_on_disconnect(fail)


def _drop(delivery: Delivery, reason: str) -> str:
    def drop() -> None:
        if not delivery.is_finished:
            delivery.drop(reason, now=timezone.now())

    retry_on_disconnect(drop)
    return f"dropped: {reason}"


def _already_finished(claim: Claim) -> str:
    if claim.state == State.FAILED and claim.attempt >= executions.max_attempts():
        # Its worker ended after the last attempt was committed and before the message was rejected.
        raise AttemptFailed("failed on the last attempt")
    return f"already {claim.state}"


def _log_ids(command: Command) -> dict[str, str]:
    """The command, and whose it is, for every line that its handler logs."""
    owners = {name: str(value) for name in ("bot_id", "user_id") if (value := getattr(command, name, None))}
    return {"command": command.declaration.name, "command_id": str(command.command_id), **owners}


def _context_of(command: Command, headers: Mapping[str, Any]) -> Any:
    """Context in which published messages are caused by this command and correlated with the original request."""
    correlation = headers.get(f"{PREFIX}correlationid")
    return message_context(
        correlation_id=UUID(correlation) if correlation else new_id(),
        causation_id=command.command_id,
        traceparent=str(headers.get("traceparent") or new_traceparent()),
    )
