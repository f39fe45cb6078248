"""Registry of command handlers. Each handled command becomes a Celery task that runs it once, however often delivered.

    @executes(StartBot, on_failure=announce_failure)
    def start(command: StartBot, delivery: Delivery) -> None: ...

A handler may open transactions of its own; while it talks to an exchange it should hold none. It may run again after a
failure or a lost worker, so it must call `delivery.complete()` in the transaction of its effects.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import orjson
import structlog
from celery import Task, shared_task
from celery.exceptions import Reject
from django.db import close_old_connections
from django.utils import timezone

from apps.core.context import message_context
from apps.core.ids import new_id
from apps.events.brokers.rabbitmq.headers import version_of
from apps.events.commands import metrics
from apps.events.commands.delivery import ExecutionBusy
from apps.events.commands.runner import CommandHandler, Executor, FailureHandler, run
from apps.messages.base import Command, WakeUp

logger = structlog.get_logger(__name__)

C = TypeVar("C", bound=Command)
W = TypeVar("W", bound=WakeUp)

# By name and version of the command.
_executors: dict[tuple[str, int], Executor] = {}


def executes(
    command: type[C], *, on_failure: FailureHandler[C] | None = None
) -> Callable[[CommandHandler[C]], CommandHandler[C]]:
    """Registers the function as handler of the command. All versions of a command share the Celery task of its name.

    `on_failure(command, error_code, message, now)` is called once, in a transaction, after the last attempt or a final
    failure (a PlatformError that is not retryable).
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
            # A newer service has sent it: a worker of that version may take the retry.
            raise Reject(f"unknown version {version_of(headers)} of {name}", requeue=False)
        try:
            return run(executor, orjson.dumps(payload), headers, now=timezone.now())
        except ExecutionBusy as reason:
            raise Reject(str(reason), requeue=False) from None


def on_wake_up(wake_up: type[W]) -> Callable[[Callable[[W], None]], Callable[[W], None]]:
    """Registers the function as the Celery task of a wake-up message. A failure is logged and not retried."""

    def register(handle: Callable[[W], None]) -> Callable[[W], None]:
        @shared_task(name=wake_up.declaration.name, acks_late=False)
        def task(**payload: Any) -> None:
            close_old_connections()
            with message_context(correlation_id=new_id()):
                try:
                    with metrics.wake_up(wake_up.declaration.name):
                        handle(wake_up.parse(orjson.dumps(payload)))
                except Exception:
                    logger.exception("wake_up_failed", wake_up=wake_up.declaration.name, payload=payload)

        return handle

    return register


def execute(command: Command, *, headers: Mapping[str, Any] | None = None, now: datetime | None = None) -> str:
    """Runs the command in this process as a worker would, and says how it ended. Raises AttemptFailed, NotNow."""
    executor = _executors[command.declaration.name, command.declaration.version]
    return run(executor, command.canonical_bytes(), headers or {}, now=now or timezone.now())
