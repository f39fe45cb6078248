"""Publishes the audit event of a redrive or purge: which operator did it, to which dead letters."""

from django.db import transaction
from django.utils import timezone

from apps.core.ids import new_id
from apps.events.consumers.dead_letters import Filters
from apps.events.store.publish import publish
from apps.messages.audit import DeadLettersPurged, DeadLettersRedriven


def publish_audit_event(
    event: type[DeadLettersRedriven] | type[DeadLettersPurged],
    source: str,
    filters: Filters,
    messages: int,
    operator: str,
) -> None:
    """`messages` is the number of dead letters. Raises DatabaseError."""
    now = timezone.now()
    with transaction.atomic():
        publish(
            event(
                redrive_id=new_id(),
                operator=operator,
                queue=source,
                filters=filters.as_words(),
                messages=messages,
                ended_at=now,
            ),
            now=now,
        )
