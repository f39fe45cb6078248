"""The messages that we send: commands and signals as Celery tasks, status as plain CloudEvents.

Built here once for every sender, so that any Celery worker of this version understands a command, and any CloudEvents
reader a status message.
"""

from dataclasses import dataclass
from typing import Any

import amqp
import orjson
from celery import current_app

from apps.core.context import current_context
from apps.core.ids import new_id
from apps.events.brokers.rabbitmq.headers import PREFIX, headers_of
from apps.events.brokers.topology.rabbitmq import COMMANDS, STATUS
from apps.messages.base import Command, WakeUp, message_class
from apps.messages.envelope import Envelope

PERSISTENT = 2
TRANSIENT = 1

# A message's properties travel in one frame of at most 128 KiB. RabbitMQ adds to them at each dead-lettering, and ends
# the connection of a sender of more.
MAX_PROPERTIES_BYTES = 64 * 1024

# What Flower shows of a command's arguments.
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Outgoing:
    """A message ready to be sent. `message_id` tells it apart from the others of its batch."""

    message_id: str
    exchange: str
    routing_key: str
    message: amqp.Message


def outgoing_of(envelope: Envelope) -> Outgoing:
    """A command or status of the outbox. Raises UnknownMessage, InvalidPayload where it cannot be sent as it is."""
    declared = message_class(envelope.event_type, envelope.schema_version)
    declared.parse(envelope.payload)
    message_id = str(envelope.event_id)
    headers = headers_of(envelope)
    if issubclass(declared, Command):
        message = _task(message_id, declared.declaration.name, envelope.payload, headers)
        return Outgoing(message_id, COMMANDS, declared.declaration.destination, message)
    message = amqp.Message(
        envelope.payload,
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=PERSISTENT,
        message_id=message_id,
        timestamp=int(envelope.occurred_at.timestamp()),
        application_headers=headers,
    )
    return Outgoing(message_id, STATUS, declared.declaration.destination, message)


def outgoing_signal(signal: WakeUp, *, expires_seconds: float) -> Outgoing:
    """A nudge: not persistent, and gone when it is too old to be of use. It starts a chain of its own."""
    message_id = str(new_id())
    name = signal.declaration.name
    context = current_context()
    headers = {f"{PREFIX}correlationid": str(context.correlation_id), "traceparent": context.traceparent}
    message = _task(
        message_id, name, signal.canonical_bytes(), headers, delivery_mode=TRANSIENT, expires=expires_seconds
    )
    return Outgoing(message_id, COMMANDS, signal.declaration.destination, message)


def can_be_sent(message: Any) -> bool:
    """Whether a message that came from a broker can go back to it: some properties can be read and not written."""
    try:
        return len(message._serialize_properties()) <= MAX_PROPERTIES_BYTES
    except Exception:
        return False


def _task(
    task_id: str,
    name: str,
    payload: bytes,
    headers: dict[str, Any],
    *,
    delivery_mode: int = PERSISTENT,
    expires: float | None = None,
) -> amqp.Message:
    task = current_app.amqp.as_task_v2(
        task_id,
        name,
        kwargs=orjson.loads(payload),
        expires=expires,
        ignore_result=True,
        argsrepr="()",
        kwargsrepr=payload.decode()[:_SHOWN_CHARACTERS],
        origin="muckard",
    )
    properties: dict[str, Any] = dict(task.properties)
    if expires is not None:
        properties["expiration"] = str(int(expires * 1000))
    return amqp.Message(
        orjson.dumps(task.body),
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=delivery_mode,
        message_id=task_id,
        # Celery takes a header that is missing for None, and each costs time here and in the broker.
        application_headers={name: value for name, value in task.headers.items() if value is not None} | headers,
        **properties,
    )
