"""Heartbeats of the background processes: a process lives, and the state of its broker. Readiness reads the rows."""

import os
import socket
import time
from datetime import datetime, timedelta
from typing import Literal

from django.db import connection

from apps.core.process_table import PROCESSES, process_of_heartbeat

State = Literal["up", "down"]

# An unchanged state is written at most this often.
SECONDS_BETWEEN_BEATS = 1.0

_UPSERT = """
INSERT INTO process_heartbeat (name, host, pid, state, detail, beat_at) VALUES (%s, %s, %s, %s, %s, now())
ON CONFLICT (name) DO UPDATE SET host = excluded.host, pid = excluded.pid, state = excluded.state,
    detail = excluded.detail, beat_at = excluded.beat_at
"""

# A process that has been silent this long and has a successor is gone for good, such as a worker on a renamed host.
FORGOTTEN_AFTER = timedelta(minutes=10)

_FORGET = """
DELETE FROM process_heartbeat AS gone WHERE beat_at < %s AND (
    split_part(split_part(name, '@', 1), '.', 1) <> ALL(%s) OR EXISTS (
        SELECT FROM process_heartbeat AS successor WHERE successor.beat_at > gone.beat_at
           AND split_part(successor.name, '@', 1) = split_part(gone.name, '@', 1)))
"""

# What processes report of the brokers, under the brokers' names: the relay of Kafka, the dispatcher of RabbitMQ.
BROKERS = ("kafka", "rabbitmq")

_written: dict[str, tuple[State, float]] = {}


def beat(name: str, state: State, detail: str = "") -> None:
    """Records that `name` lives and whether its dependencies answer; `detail` is for a person.

    Cheap to call in every step: an unchanged state is written about once a second. Raises DatabaseError.
    """
    state_before, written_at = _written.get(name, (None, 0.0))
    now = time.monotonic()
    if state == state_before and now - written_at < SECONDS_BETWEEN_BEATS:
        return
    with connection.cursor() as cursor:
        cursor.execute(_UPSERT, [name, socket.gethostname(), os.getpid(), state, detail[:500]])
    _written[name] = (state, now)


def retire(name: str) -> None:
    """Deletes the heartbeat of a process that ends for good, so that it is not reported as silent."""
    _written.pop(name, None)
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM process_heartbeat WHERE name = %s AND host = %s AND pid = %s",
            [name, socket.gethostname(), os.getpid()],
        )


def kind_of(name: str) -> str:
    """The name without its host: `worker-high` of `worker-high@host`."""
    return name.partition("@")[0]


def is_known(name: str) -> bool:
    """Whether a row belongs to a process of the process table or to a broker. Other rows are of an earlier release,
    whose processes had other names, or of a process that was started by hand."""
    return process_of_heartbeat(name) in PROCESSES or name in BROKERS


def forget_silent(*, now: datetime) -> int:
    """Deletes heartbeats that are ten minutes old and have a successor of their kind, or a name that no process has any
    more; returns how many.

    The latest heartbeat of a kind always stays, so that readiness keeps reporting it as down.
    Raises DatabaseError.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, [now - FORGOTTEN_AFTER, [*PROCESSES, *BROKERS]])
        return int(cursor.rowcount)
