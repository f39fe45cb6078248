"""Writes the execution rows of workers, without a worker."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.events.models import CommandExecution, OutboxRow


def deliver(command_id: UUID) -> None:
    """Marks the command as confirmed by the broker."""
    OutboxRow.objects.filter(event_id=command_id, transport="rabbitmq").delete()


def execution(
    command_id: UUID,
    state: str,
    *,
    reason: str = "",
    attempts: int = 1,
    at: datetime | None = None,
    result: dict[str, Any] | None = None,
) -> None:
    """Writes the command's execution row."""
    deliver(command_id)
    moment = at or timezone.now()
    is_over = state in ("done", "failed", "dropped")
    CommandExecution.objects.update_or_create(
        command_id=command_id,
        defaults={
            "name": "bot.command",
            "aggregate_id": command_id,
            "state": state,
            "attempts": attempts,
            "reason": reason,
            "result": result,
            "first_delivered_at": moment,
            "finished_at": moment if is_over else None,
        },
    )
