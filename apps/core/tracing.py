"""Traces of what one request causes, across processes: off unless MUCKARD_TRACES says where they go.

The trace context (https://www.w3.org/TR/trace-context/) travels in the message context (`apps.core.context`): it is
stored with each event, and both brokers carry it as the header `traceparent`, whether traces are on or off. While they
are off nothing here imports OpenTelemetry, and a span costs a function call.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What a span is to its neighbours, as OpenTelemetry names it."""

    INTERNAL = "INTERNAL"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"
    CLIENT = "CLIENT"


class Backend(Protocol):
    """What makes spans while traces are on (`apps.core.tracing_backend`)."""

    def current(self) -> str:
        """The traceparent of the current span; empty without one."""

    def span(self, name: str, kind: Kind, parent: str, attributes: dict[str, str]) -> AbstractContextManager[str]:
        """A span around a block, which yields its traceparent."""

    def record(
        self, name: str, *, kind: Kind, parent: str, attributes: dict[str, str], began_at: datetime, ended_at: datetime
    ) -> None:
        """A span of what is over."""


_backend: Backend | None = None


def use(backend: Backend | None) -> None:
    """Turns traces on, or off where it is None."""
    global _backend  # noqa: PLW0603 (one for the process)
    _backend = backend


def is_on() -> bool:
    return _backend is not None


def current_traceparent() -> str:
    """The trace context of the current span; empty without one, and while traces are off."""
    return _backend.current() if _backend else ""


def span(
    name: str, *, kind: Kind = Kind.INTERNAL, parent: str = "", **attributes: object
) -> AbstractContextManager[str]:
    """A span around a block. Yields its traceparent; while traces are off, that of `parent`.

    `parent` is a traceparent; without one it is the current span. No attribute may be a secret.
    """
    if _backend is None:
        return nullcontext(parent)
    return _backend.span(name, kind, parent, {key: str(value) for key, value in attributes.items()})


def record(name: str, *, kind: Kind, parent: str, began_at: datetime, ended_at: datetime, **attributes: object) -> None:
    """A span of what is over: a message that a broker has confirmed, for example."""
    if _backend is not None:
        texts = {key: str(value) for key, value in attributes.items()}
        _backend.record(name, kind=kind, parent=parent, attributes=texts, began_at=began_at, ended_at=ended_at)


@contextmanager
def spans_of(messages: Iterable[tuple[str, str]], *, kind: Kind, clock: Callable[[], datetime]) -> Iterator[None]:
    """A span for each message that a block handles together: pairs of a name and a traceparent."""
    if _backend is None:
        yield
        return
    began_at = clock()
    yield
    ended_at = clock()
    for name, parent in messages:
        record(name, kind=kind, parent=parent, began_at=began_at, ended_at=ended_at)
