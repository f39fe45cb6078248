"""Reads over the event backbone."""

from uuid import UUID

from apps.events.envelope import Envelope
from apps.events.models import CommandExecution, ProcessHeartbeat, StoredEvent


def heartbeat_list() -> list[ProcessHeartbeat]:
    """Every background process that has ever beaten, by name."""
    return list(ProcessHeartbeat.objects.order_by("name"))


def command_execution_get(*, command_id: UUID) -> CommandExecution | None:
    """What the workers know of a command; None before it is first delivered."""
    return CommandExecution.objects.filter(command_id=command_id).first()


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
    )


def stream_list(*, aggregate_type: str, aggregate_id: UUID) -> list[Envelope]:
    """All events of an aggregate, oldest first."""
    rows = StoredEvent.objects.filter(aggregate_type=aggregate_type, aggregate_id=aggregate_id)
    return [envelope_of(row) for row in rows.order_by("aggregate_seq")]
