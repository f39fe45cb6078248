"""Publishing writes one event and one outbox row in the caller's transaction, or nothing."""

import hashlib
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from apps.events.models import OutboxRow, StoredEvent
from apps.events.store.publish import PublishedOutsideTransaction, publish
from apps.events.store.selectors import stream_list
from apps.messages.bots import BotStarted, TickBot
from apps.messages.user import UserUpdated

pytestmark = pytest.mark.django_db


def _publish(user_id: UUID) -> UUID:
    return publish(UserUpdated(user_id=user_id, changed=("name",)), now=timezone.now())


def test_an_event_and_its_outbox_row_are_written_together() -> None:
    event_id = _publish(uuid4())

    row = OutboxRow.objects.get()
    assert (row.event_id, row.transport, row.destination) == (event_id, "kafka", "user.events")
    assert bytes(StoredEvent.objects.get().payload).startswith(b'{"changed":["name"],"user_id":')


def test_a_wake_up_is_not_published() -> None:
    tick = TickBot(bot_id=uuid4(), run_id=uuid4(), due_at=timezone.now())

    with pytest.raises(TypeError, match=r"bot\.tick is a wake-up"):
        publish(tick, now=timezone.now())  # type: ignore[arg-type]


def test_sequence_numbers_of_an_aggregate_have_no_gap() -> None:
    user_id = uuid4()
    for _ in range(3):
        _publish(user_id)
    _publish(uuid4())

    assert [event.aggregate_seq for event in stream_list(aggregate_type="user", aggregate_id=user_id)] == [1, 2, 3]


def test_a_rolled_back_transaction_leaves_no_event() -> None:
    user_id = uuid4()
    with pytest.raises(RuntimeError), transaction.atomic():
        _publish(user_id)
        raise RuntimeError

    assert stream_list(aggregate_type="user", aggregate_id=user_id) == []
    assert OutboxRow.objects.count() == 0


def test_the_hash_covers_every_column_and_the_previous_hash() -> None:
    user_id = uuid4()
    _publish(user_id)
    _publish(user_id)

    previous = b""
    for row in StoredEvent.objects.order_by("aggregate_seq"):
        header = "\t".join(
            map(
                str,
                (
                    row.event_id,
                    row.event_type,
                    row.schema_version,
                    row.aggregate_type,
                    row.aggregate_id,
                    row.aggregate_seq,
                    _microseconds(row.occurred_at),
                    _microseconds(row.recorded_at),
                    row.user_id or "",
                    row.correlation_id,
                    row.causation_id or "",
                    row.traceparent,
                    row.actor,
                    "",
                ),
            )
        )
        digest = hashlib.sha256(previous + header.encode() + bytes(row.payload)).digest()
        assert bytes(row.hash) == digest
        previous = digest


def _microseconds(moment: object) -> int:
    from datetime import UTC, datetime, timedelta

    assert isinstance(moment, datetime)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    "change", ["UPDATE events.event SET event_type = 'x'", "DELETE FROM events.event", "TRUNCATE events.event"]
)
def test_nothing_in_the_event_store_can_be_changed_even_by_its_owner(change: str) -> None:
    _publish(uuid4())

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)
    assert StoredEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_publishing_outside_a_transaction_is_an_error() -> None:
    with pytest.raises(PublishedOutsideTransaction):
        _publish(uuid4())
    assert StoredEvent.objects.count() == 0


def test_a_status_message_is_kept_for_auditors_beside_the_events_of_its_aggregate() -> None:
    bot_id = uuid4()
    event_id = publish(
        BotStarted(bot_id=bot_id, user_id=uuid4(), run_id=uuid4(), config_version=1, started_at=timezone.now()),
        now=timezone.now(),
    )

    rows = list(OutboxRow.objects.order_by("id").values_list("event_id", "transport", "destination", "key"))
    assert rows == [
        (event_id, "rabbitmq", "bot.started", bot_id),
        (event_id, "kafka", "trading.events", bot_id),
    ]
    assert StoredEvent.objects.count() == 1
