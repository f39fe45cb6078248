"""Message context: correlation, causation and trace ids, passed from the request through every message it causes."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

import structlog

from apps.core.ids import new_id
from apps.core.tracing import current_traceparent

_TRACEPARENT = re.compile(r"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")


@dataclass(frozen=True)
class MessageContext:
    """The ids that a published message inherits.

    `correlation_id` is shared by everything that one request caused. `causation_id` is the id of the message being
    handled. `traceparent` is the W3C trace context (https://www.w3.org/TR/trace-context/).
    """

    correlation_id: UUID
    causation_id: UUID | None
    traceparent: str


_current: ContextVar[MessageContext | None] = ContextVar("message_context", default=None)


def new_traceparent() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def is_traceparent(text: str) -> bool:
    return bool(_TRACEPARENT.match(text))


def trace_id_of(traceparent: str) -> str:
    """The id that all spans of the trace share, in hexadecimal."""
    return traceparent.split("-")[1]


def current_context() -> MessageContext:
    """The context of the current request or message; without one, a new context that starts a chain."""
    return _current.get() or MessageContext(
        correlation_id=new_id(), causation_id=None, traceparent=current_traceparent() or new_traceparent()
    )


@contextmanager
def message_context(
    *, correlation_id: UUID, causation_id: UUID | None = None, traceparent: str = ""
) -> Iterator[MessageContext]:
    """Sets the context of the block: every message published inside inherits these ids, and every log line has them.

    While traces are on, the current span takes the place of `traceparent`: it is of the same trace.
    """
    given = traceparent if is_traceparent(traceparent) else ""
    context = MessageContext(
        correlation_id=correlation_id,
        causation_id=causation_id,
        traceparent=current_traceparent() or given or new_traceparent(),
    )
    token = _current.set(context)
    try:
        with structlog.contextvars.bound_contextvars(
            correlation_id=str(correlation_id), trace_id=trace_id_of(context.traceparent)
        ):
            yield context
    finally:
        _current.reset(token)
