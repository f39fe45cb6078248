"""A dead letter of RabbitMQ as a person reads it. Any message can be read, also one that nothing of ours has sent."""

import hashlib
from typing import Any
from uuid import UUID

from apps.events.brokers.rabbitmq.headers import DEAD_REASON, PREFIX, attempt_of
from apps.events.brokers.rabbitmq.inspection import Inbound, fault_of
from apps.events.brokers.rabbitmq.reader import body_of
from apps.events.commands.dead_letters.hold import died_at
from apps.events.consumers.dead_letters import Letter

_MOST_CHARACTERS = 500


def letter_of(source: str, message: Any) -> Letter:
    headers = headers_in(message)
    return Letter(
        letter_id=id_of(message),
        source=source,
        event_type=_shown(headers.get(f"{PREFIX}type") or headers.get("task") or "unknown"),
        event_id=_uuid(headers.get(f"{PREFIX}id")),
        key=_uuid(headers.get(f"{PREFIX}partitionkey")),
        reason="failed",
        # What RabbitMQ itself put away has no reason of ours with it.
        error=_shown(headers.get(DEAD_REASON) or fault_of(inbound_of(source, message))),
        attempts=attempt_of(headers),
        died_at=died_at(message),
        content={
            "headers": {
                str(name): str(value) for name, value in sorted(headers.items(), key=lambda item: str(item[0]))
            },
            "body": body_of(message).decode(errors="replace"),
        },
    )


def inbound_of(source: str, message: Any) -> Inbound:
    content_type, content_encoding = (message.properties.get(name) for name in ("content_type", "content_encoding"))
    queue = source.removesuffix(".dlq")
    return Inbound(queue, headers_in(message), body_of(message), content_type, content_encoding)


def headers_in(message: Any) -> dict[Any, Any]:
    return message.properties.get("application_headers") or {}


def id_of(message: Any) -> str:
    """Its message id; for a message without one, a name that stays the same from one look to the next."""
    given = message.properties.get("message_id")
    return _shown(given) if given else f"unnamed-{hashlib.sha256(body_of(message)).hexdigest()[:12]}"


def _shown(value: Any) -> str:
    """On one line, and nothing in it that a terminal would obey."""
    return "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(value)[:_MOST_CHARACTERS]
    )


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None
