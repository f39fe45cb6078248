"""Reads over the event backbone."""

from collections.abc import Collection
from uuid import UUID

from django.db.models import QuerySet

from apps.events.models import CommandExecution, OutboxRow, ProcessHeartbeat, StoredEvent
from apps.messages.base import Transport
from apps.messages.envelope import Envelope


def heartbeat_list() -> list[ProcessHeartbeat]:
    """The latest heartbeat of every process, by name."""
    return list(ProcessHeartbeat.objects.order_by("name"))


def command_execution_get(*, command_id: UUID) -> CommandExecution | None:
    """The execution of a command; None before its first delivery."""
    return CommandExecution.objects.filter(command_id=command_id).first()


def command_executions_by_id(*, command_ids: Collection[UUID]) -> dict[UUID, CommandExecution]:
    """The executions of several commands, by id, without commands that were never delivered."""
    return CommandExecution.objects.in_bulk(list(command_ids))


def undispatched_ids(*, command_ids: Collection[UUID]) -> set[UUID]:
    """Which of these commands RabbitMQ has not confirmed yet."""
    rows = OutboxRow.objects.filter(event_id__in=command_ids, transport=Transport.RABBITMQ)
    return set(rows.values_list("event_id", flat=True))


def envelope_of(row: StoredEvent) -> Envelope:
    return Envelope(
        event_id=row.event_id,
        event_type=row.event_type,
        schema_version=row.schema_version,
        aggregate_type=row.aggregate_type,
        aggregate_id=row.aggregate_id,
        aggregate_seq=row.aggregate_seq,
        occurred_at=row.occurred_at,
        user_id=row.user_id,
        correlation_id=row.correlation_id,
        causation_id=row.causation_id,
        traceparent=row.traceparent,
        payload=bytes(row.payload),
        actor=row.actor,
    )


def stream_list(*, aggregate_type: str, aggregate_id: UUID) -> list[Envelope]:
    """All events of an aggregate, oldest first."""
    rows = StoredEvent.objects.filter(aggregate_type=aggregate_type, aggregate_id=aggregate_id)
    return [envelope_of(row) for row in rows.order_by("aggregate_seq")]


def stream_page(*, aggregate_type: str, aggregate_id: UUID, before_seq: int | None, limit: int) -> list[Envelope]:
    """Up to `limit` events of an aggregate, newest first, with sequence numbers below `before_seq`."""
    rows = StoredEvent.objects.filter(aggregate_type=aggregate_type, aggregate_id=aggregate_id)
    if before_seq is not None:
        rows = rows.filter(aggregate_seq__lt=before_seq)
    return [envelope_of(row) for row in rows.order_by("-aggregate_seq")[:limit]]


def event_get(*, event_id: UUID) -> Envelope | None:
    """A published message by its event id, which for a command is the command id; None if there is none."""
    row = StoredEvent.objects.filter(event_id=event_id).first()
    return envelope_of(row) if row else None


def chain_list(*, correlation_ids: Collection[UUID], user_id: UUID, limit: int) -> list[Envelope]:
    """Up to `limit` of the user's events with these correlation ids, over all aggregates, in recorded order."""
    rows = StoredEvent.objects.filter(correlation_id__in=correlation_ids, user_id=user_id)
    return [envelope_of(row) for row in rows.order_by("recorded_at", "aggregate_seq")[:limit]]


def user_events(*, user_id: UUID) -> QuerySet[StoredEvent]:
    """All events about a user, unordered; page them by `recorded_at`."""
    return StoredEvent.objects.filter(user_id=user_id)
