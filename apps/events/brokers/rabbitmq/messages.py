"""Outgoing messages: commands and wake-up messages as Celery tasks, status messages as plain CloudEvents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import amqp
import orjson
from celery import current_app

from apps.core.context import current_context
from apps.core.ids import new_id
from apps.events.brokers.rabbitmq.headers import DEAD_HEADERS, PREFIX, headers_of
from apps.events.brokers.rabbitmq.internals import serialized_properties
from apps.events.brokers.topology.rabbitmq import COMMANDS, STATUS
from apps.messages.base import Command, WakeUp, message_class
from apps.messages.envelope import Envelope

PERSISTENT = 2
TRANSIENT = 1

# A message's properties are sent in one frame of at most 128 KiB; RabbitMQ closes the connection if they are larger.
# The limit is half of that, because RabbitMQ adds headers at each dead-lettering.
MAX_PROPERTIES_BYTES = 64 * 1024

# Maximum length of headers that are kept as text, because they cannot be serialized again.
_MAX_HEADERS_LENGTH = 4000

# Maximum length of the arguments as Flower shows them.
_KWARGSREPR_LENGTH = 300


@dataclass(frozen=True)
class Outgoing:
    """A message ready to be sent. `message_id` identifies it within its batch."""

    message_id: str
    exchange: str
    routing_key: str
    message: amqp.Message


def outgoing_of(envelope: Envelope) -> Outgoing:
    """A command or status message of the outbox. Raises UnknownMessage, InvalidPayload if it cannot be sent."""
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


def outgoing_wake_up(wake_up: WakeUp, *, expires_seconds: float) -> Outgoing:
    """A wake-up message: not persistent, expires after `expires_seconds`, and starts a new trace if there is none."""
    message_id = str(new_id())
    name = wake_up.declaration.name
    context = current_context()
    headers = {f"{PREFIX}correlationid": str(context.correlation_id), "traceparent": context.traceparent}
    message = _task(
        message_id, name, wake_up.canonical_bytes(), headers, delivery_mode=TRANSIENT, expires=expires_seconds
    )
    return Outgoing(message_id, COMMANDS, wake_up.declaration.destination, message)


def can_be_sent(message: Any) -> bool:
    """Whether a message that was read can be sent again: some properties can be decoded but not encoded."""
    try:
        return len(serialized_properties(message)) <= MAX_PROPERTIES_BYTES
    except Exception:
        return False


def sendable(body: bytes, headers: Mapping[str, Any], more: Mapping[str, Any], properties: dict[str, Any]) -> Any:
    """A message that was read, to be sent again with `more` headers; as text those that cannot be encoded again.

    `properties` have a `message_id`, by which a returned message is recognised.
    """
    again = amqp.Message(body, application_headers={**headers, **more}, **properties)
    if can_be_sent(again):
        return again
    shown = {DEAD_HEADERS: repr(headers)[:_MAX_HEADERS_LENGTH]}
    kept = {"message_id": properties["message_id"], "delivery_mode": PERSISTENT}
    return amqp.Message(body, application_headers={**shown, **more}, **kept)


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
        kwargsrepr=payload.decode()[:_KWARGSREPR_LENGTH],
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
        # Celery reads a missing header as None, so headers that are None are left out: each costs time.
        application_headers={name: value for name, value in task.headers.items() if value is not None} | headers,
        **properties,
    )
