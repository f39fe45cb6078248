"""Presentation of dead letters in RabbitMQ for operators. Works for any message, valid or not."""

import hashlib
from typing import Any
from uuid import UUID

from apps.events.brokers.rabbitmq.headers import DEAD_REASON, PREFIX, attempt_of
from apps.events.brokers.rabbitmq.inspection import InboundMessage, rejection_reason
from apps.events.brokers.rabbitmq.reader import body_of
from apps.events.commands.dead_letters.locked_queue import died_at
from apps.events.consumers.dead_letters import DeadLetter

_MAX_LENGTH = 500


def dead_letter_of(source: str, message: Any) -> DeadLetter:
    headers = headers_in(message)
    return DeadLetter(
        letter_id=id_of(message),
        source=source,
        event_type=_shown(headers.get(f"{PREFIX}type") or headers.get("task") or "unknown"),
        event_id=_uuid(headers.get(f"{PREFIX}id")),
        key=_uuid(headers.get(f"{PREFIX}partitionkey")),
        reason="failed",
        # A message that RabbitMQ dead-lettered by itself has no reason header.
        error=_shown(headers.get(DEAD_REASON) or rejection_reason(inbound_of(source, message))),
        attempts=attempt_of(headers),
        died_at=died_at(message),
        content={
            "headers": {
                str(name): str(value) for name, value in sorted(headers.items(), key=lambda item: str(item[0]))
            },
            "body": body_of(message).decode(errors="replace"),
        },
    )


def inbound_of(source: str, message: Any) -> InboundMessage:
    content_type, content_encoding = (message.properties.get(name) for name in ("content_type", "content_encoding"))
    queue = source.removesuffix(".dlq")
    return InboundMessage(queue, headers_in(message), body_of(message), content_type, content_encoding)


def headers_in(message: Any) -> dict[Any, Any]:
    return message.properties.get("application_headers") or {}


def id_of(message: Any) -> str:
    """The message id, or a stable id derived from the body if there is none."""
    given = message.properties.get("message_id")
    return _shown(given) if given else f"unnamed-{hashlib.sha256(body_of(message)).hexdigest()[:12]}"


def _shown(value: Any) -> str:
    """One line without control characters, which a terminal would interpret."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(value)[:_MAX_LENGTH])


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None
