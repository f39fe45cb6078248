"""Consumer groups for tests: handlers that note what they see, and loops that are stepped."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from django.db import connection

from apps.events.consumers import registry
from apps.events.consumers.group import GroupConsumer
from apps.events.consumers.registry import consumes
from apps.messages.envelope import Envelope
from apps.messages.user import UserUpdated


@dataclass
class Listener:
    """A group of its own, whose handler notes what it is called with and fails as told."""

    group: str = field(default_factory=lambda: f"test.{uuid4().hex[:12]}")
    calls: list[tuple[UUID, int]] = field(default_factory=list)
    fails: Callable[[Envelope], BaseException | None] = lambda _: None

    def handle(self, message: UserUpdated, envelope: Envelope) -> None:
        self.calls.append((message.user_id, envelope.aggregate_seq))
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO seen (listener, key, seq) VALUES (%s, %s, %s)",
                [self.group, envelope.aggregate_id, envelope.aggregate_seq],
            )
        if (error := self.fails(envelope)) is not None:
            raise error

    def count(self) -> int:
        """How many events the handler did and committed."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM seen WHERE listener = %s", [self.group])
            (found,) = cursor.fetchone()
            return int(found)

    def effects(self, key: UUID) -> list[int]:
        """What the handler did and committed for a key, in order: a rolled-back call leaves nothing here."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT seq FROM seen WHERE listener = %s AND key = %s ORDER BY id", [self.group, key])
            return [row[0] for row in cursor.fetchall()]


@pytest.fixture
def seen() -> Iterator[None]:
    """A table that the listeners' handlers write to."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS events.seen (id bigserial PRIMARY KEY, listener text, key uuid, seq bigint)"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE events.seen")


@pytest.fixture
def listener(seen: None) -> Iterator[Listener]:
    """A registered listener to user.updated."""
    made = Listener()
    consumes(UserUpdated, group=made.group)(made.handle)
    yield made
    registry._registered.pop(made.group, None)


@contextmanager
def consuming(group: str, topic: str) -> Iterator[GroupConsumer]:
    consumer = GroupConsumer(group, topics=[topic])
    try:
        yield consumer
    finally:
        consumer.close()


def drive_consumers(*consumers: GroupConsumer, until: Callable[[], bool], seconds: float = 40.0) -> None:
    """Steps the consumers in turn until the condition holds. Fails where it does not in time."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"the consumers did not get there within {seconds:g} s"
        for consumer in consumers:
            time.sleep(min(consumer.step(), 0.2))
