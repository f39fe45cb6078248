"""Prometheus metrics of the commands that workers carry out, and of their wake-up messages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from apps.core.metrics import SECONDS, WAITS, WORKERS, counter, gauge, histogram
from apps.events.brokers.rabbitmq.headers import PREFIX

# Beyond the default, because a command may wait for an exchange. Celery ends one after 120 s.
_LONG = (*SECONDS, 30.0, 120.0)

start_delay = histogram(
    "command_start_delay_seconds", "From the moment a command was accepted to its first attempt.", ["command"],
    processes=WORKERS, buckets=WAITS,
)  # fmt: skip
attempts = counter(
    "command_attempts_total",
    "Attempts at commands, by how they ended: done, failed, dropped, retry, busy, lost, repeated.",
    ["command", "outcome"],
    processes=WORKERS,
)
duration = histogram(
    "command_duration_seconds", "How long an attempt took.", ["command"], processes=WORKERS, buckets=_LONG
)
in_progress = gauge(
    "commands_in_progress", "Attempts and wake-ups that are being carried out; each has a child process.",
    processes=WORKERS, children="livesum",
)  # fmt: skip
wake_ups = counter(
    "wake_ups_total", "Wake-up messages that were handled, by outcome: done, failed.", ["wake_up", "outcome"],
    processes=WORKERS,
)  # fmt: skip
wake_up_duration = histogram(
    "wake_up_duration_seconds", "How long a wake-up was handled.", ["wake_up"], processes=WORKERS, buckets=_LONG
)
pool_processes = gauge("worker_pool_processes", "Child processes that carry out commands.", processes=WORKERS)


def accepted_at(headers: Mapping[str, Any]) -> datetime | None:
    """When the command was accepted; None without a usable header."""
    try:
        return datetime.fromisoformat(str(headers.get(f"{PREFIX}time", "")))
    except ValueError:
        return None


def note_start(command: str, headers: Mapping[str, Any], *, now: datetime) -> None:
    """Counts the wait of a first attempt."""
    at = accepted_at(headers)
    if at is not None and at.tzinfo is not None:
        start_delay.labels(command).observe(max(0.0, (now - at).total_seconds()))


@contextmanager
def attempt(command: str) -> Iterator[None]:
    """Times an attempt and counts it as in progress."""
    with in_progress.track_inprogress(), duration.labels(command).time():
        yield


@contextmanager
def wake_up(name: str) -> Iterator[None]:
    """Times a wake-up, and counts how it ended."""
    with in_progress.track_inprogress(), wake_up_duration.labels(name).time():
        try:
            yield
        except BaseException:
            wake_ups.labels(name, "failed").inc()
            raise
        wake_ups.labels(name, "done").inc()
