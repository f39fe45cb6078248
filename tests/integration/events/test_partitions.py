"""Months of the event store are made ahead of time, whatever lies in the default partition, and hold nobody up."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from apps.events.models import StoredEvent
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated
from tests.support.relaying import another_session

pytestmark = pytest.mark.django_db(transaction=True)

THIS_MONTH = datetime.now(UTC).strftime("event_%Y_%m")


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _ensure() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT events.ensure_partitions()")
        made: int = cursor.fetchone()[0]
        return made


def _partition_of(event_id: UUID) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM events.event WHERE event_id = %s", [event_id])
        name: str = cursor.fetchone()[0]
        return name.removeprefix("events.")


def _publish() -> UUID:
    with transaction.atomic():
        return publish(UserUpdated(user_id=uuid4(), changed=("name",)), now=timezone.now())


@pytest.fixture
def _without_this_month() -> Iterator[None]:
    """As after months in which nobody made any."""
    _execute(f"DROP TABLE events.{THIS_MONTH}")
    yield
    _ensure()


@pytest.mark.usefixtures("_without_this_month")
def test_events_that_the_default_partition_took_move_to_their_month_unchanged() -> None:
    ids = [_publish() for _ in range(3)]
    before = list(StoredEvent.objects.order_by("event_id").values())
    assert {_partition_of(each) for each in ids} == {"event_default"}

    assert _ensure() == 1

    assert {_partition_of(each) for each in ids} == {THIS_MONTH}
    assert list(StoredEvent.objects.order_by("event_id").values()) == before
    assert _partition_of(_publish()) == THIS_MONTH
    assert _ensure() == 0


@pytest.mark.usefixtures("_without_this_month")
def test_no_partition_can_be_changed_or_emptied_by_itself_not_even_by_the_owner() -> None:
    _publish()
    assert _ensure() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events.event'::regclass")
        partitions = [name for (name,) in cursor.fetchall()]

    assert len(partitions) >= 5
    for partition in partitions:
        with pytest.raises(DatabaseError, match="append-only"):
            _execute(f"TRUNCATE {partition}")
    with pytest.raises(DatabaseError, match="append-only"):
        _execute(f"UPDATE events.{THIS_MONTH} SET event_type = 'x'")
    with pytest.raises(DatabaseError, match="append-only"):
        _execute(f"DELETE FROM events.{THIS_MONTH}")
    assert StoredEvent.objects.count() == 1


@pytest.mark.usefixtures("_without_this_month")
def test_a_long_look_at_the_event_store_puts_a_month_off_and_nobody_waits_behind_it() -> None:
    with another_session() as reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM events.event")
        assert _ensure() == 0
        assert _partition_of(_publish()) == "event_default"

    assert _ensure() == 1
