"""AMQP headers of a message: CloudEvents attributes in binary mode, and the attempt count of the retry router.

The prefix follows the CloudEvents AMQP binding 1.0.2, section 3.1.3.1
(https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md).
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.core.errors import PlatformError
from apps.messages.cloud_events import SEQUENCE_DIGITS, timestamp
from apps.messages.envelope import Envelope

PREFIX = "cloudEvents_"

# Attempt counter. RabbitMQ 4 ignores x-death when a message is republished, and x-delivery-count restarts in each
# queue.
ATTEMPT = "x-attempt"
# Number of deliveries that were deferred without counting as an attempt, for example while PostgreSQL was down.
DEFERRALS = "x-deferrals"

# Headers of a dead letter: the reason, the time, and the queue that gave it up.
DEAD_REASON = "x-dead-reason"
DEAD_AT = "x-dead-at"
DEAD_QUEUE = "x-dead-queue"
# The original headers as text, if they cannot be serialized again.
DEAD_HEADERS = "x-dead-headers"

_BROKER_HEADERS = ("x-death", "x-delivery-count", "x-acquired-count", "CC", "BCC")
_BROKER_PREFIXES = ("x-first-death-", "x-last-death-", "x-opt-")


_VERSION = re.compile(r"[1-9][0-9]{0,3}")


class MalformedMessage(PlatformError):
    """A message that no process of this platform can have sent."""

    code = "malformed_message"
    http_status = 500


def headers_of(envelope: Envelope, *, attempt: int = 1) -> dict[str, Any]:
    """The headers of a message with this envelope's payload."""
    headers: dict[str, Any] = {
        f"{PREFIX}specversion": "1.0",
        f"{PREFIX}id": str(envelope.event_id),
        f"{PREFIX}type": envelope.event_type,
        f"{PREFIX}source": envelope.source,
        f"{PREFIX}time": timestamp(envelope.occurred_at),
        f"{PREFIX}dataschema": f"urn:muckard:{envelope.event_type}:v{envelope.schema_version}",
        f"{PREFIX}sequence": f"{envelope.aggregate_seq:0{SEQUENCE_DIGITS}d}",
        f"{PREFIX}partitionkey": str(envelope.aggregate_id),
        f"{PREFIX}schemaversion": str(envelope.schema_version),
        f"{PREFIX}correlationid": str(envelope.correlation_id),
        f"{PREFIX}traceparent": envelope.traceparent,
        "traceparent": envelope.traceparent,
        ATTEMPT: attempt,
    }
    if envelope.causation_id is not None:
        headers[f"{PREFIX}causationid"] = str(envelope.causation_id)
    if envelope.user_id is not None:
        headers[f"{PREFIX}userid"] = str(envelope.user_id)
    if envelope.actor:
        headers[f"{PREFIX}actor"] = envelope.actor
    return headers


def envelope_from(headers: Mapping[str, Any], payload: bytes) -> Envelope:
    """The envelope as it was published. Raises MalformedMessage."""
    try:
        aggregate_type, aggregate_id = headers[f"{PREFIX}source"].strip("/").split("/")
        return Envelope(
            event_id=UUID(headers[f"{PREFIX}id"]),
            event_type=headers[f"{PREFIX}type"],
            schema_version=int(headers[f"{PREFIX}schemaversion"]),
            aggregate_type=aggregate_type,
            aggregate_id=UUID(aggregate_id),
            aggregate_seq=int(headers[f"{PREFIX}sequence"]),
            occurred_at=datetime.fromisoformat(headers[f"{PREFIX}time"]),
            user_id=_optional(headers, "userid"),
            correlation_id=UUID(headers[f"{PREFIX}correlationid"]),
            causation_id=_optional(headers, "causationid"),
            traceparent=headers[f"{PREFIX}traceparent"],
            payload=payload,
            actor=headers.get(f"{PREFIX}actor", ""),
        )
    except (KeyError, ValueError, AttributeError, TypeError, OverflowError) as error:
        raise MalformedMessage(f"The message's CloudEvents headers are not valid: {error!r}.") from None


def attempt_of(headers: Mapping[str, Any]) -> int:
    """The attempt number of a message, counted from 1."""
    return _count(headers, ATTEMPT, least=1)


def version_of(headers: Mapping[str, Any]) -> int:
    """The version of the payload's class; 1 if the header is missing, 0 if it is not a valid number."""
    text = headers.get(f"{PREFIX}schemaversion", "1")
    return int(text) if isinstance(text, str) and _VERSION.fullmatch(text) else 0


def deferrals_of(headers: Mapping[str, Any]) -> int:
    return _count(headers, DEFERRALS, least=0)


def _count(headers: Mapping[str, Any], name: str, *, least: int) -> int:
    value = headers.get(name, least)
    return max(value, least) if isinstance(value, int) else least


def _optional(headers: Mapping[str, Any], attribute: str) -> UUID | None:
    text = headers.get(f"{PREFIX}{attribute}")
    return UUID(text) if text else None


def without_broker_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers of a message that is sent again. RabbitMQ's own would grow each time, and RabbitMQ 4 ignores them in
    published messages; CC and BCC would deliver to further queues."""
    return {name: value for name, value in headers.items() if not _is_broker_header(name)}


def _is_broker_header(name: Any) -> bool:
    return isinstance(name, str) and (name in _BROKER_HEADERS or name.startswith(_BROKER_PREFIXES))
