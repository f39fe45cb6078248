"""Relays for tests: in this process, or as other processes that can be killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from django.db import connection

from apps.events.outbox.relay import query
from apps.events.outbox.relay.query import Record
from apps.events.outbox.relay.relay import Relay
from apps.events.outbox.rows import FetchSpec
from apps.messages.base import SLOTS
from tests.support.kafka import outbox_count

ROOT = Path(__file__).resolve().parents[2]


def drive(relay: Relay, *, until: Callable[[], bool], seconds: float = 30.0) -> None:
    """Steps the relay until the condition holds. Fails if it does not hold in time."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"the relay did not get there within {seconds:g} s"
        pause = relay.step()
        time.sleep(min(pause, 0.2))


def next_records(*, limit: int, low_watermark: int = 0) -> list[Record]:
    """The rows that a relay with every slot would fetch."""
    leases = frozenset((slot, 1) for slot in range(SLOTS))
    return query.next_records(FetchSpec(leases, limit, low_watermark=low_watermark))


def drain(topic: str, *, seconds: float = 120.0, relay: Relay | None = None) -> None:
    """Sends everything that waits for the topic."""
    own = relay or Relay(lease_seconds=3.0)
    try:
        drive(own, until=lambda: outbox_count(topic) == 0, seconds=seconds)
    finally:
        if relay is None:
            own.close()


def test_environment(**more: str) -> dict[str, str]:
    """The environment of a process that uses the test database."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    url = urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}"))
    return {**os.environ, "DATABASE_URL": url, **more}


test_environment.__test__ = False  # type: ignore[attr-defined]


@contextmanager
def manage(*arguments: str, log: IO[bytes] | None = None, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A management command as a process on the test database; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=test_environment(**environment),
        stdout=log or subprocess.DEVNULL,
        stderr=log or subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def another_session() -> Iterator[Any]:
    """A second connection to the test database, with its own transactions. At the end it is rolled back."""
    database = connection.settings_dict
    session = psycopg2.connect(
        host=database["HOST"], port=database["PORT"], dbname=database["NAME"], user=database["USER"],
        password=database["PASSWORD"],
    )  # fmt: skip
    try:
        yield session
    finally:
        session.close()
