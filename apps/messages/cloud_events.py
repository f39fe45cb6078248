"""Envelopes as CloudEvents 1.0: read from the headers of a Kafka record (binary mode), or written and read as JSON.

The mapping is that of the Kafka protocol binding
(https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md), with the extensions
`sequence`, `partitionkey`, `traceparent`, `recordedtime`, `correlationid` and `causationid`, and of this platform
`schemaversion`, `userid` and `actor`.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import orjson
import rfc8785

from apps.core.errors import PlatformError
from apps.messages.envelope import Envelope

Headers = list[tuple[str, bytes]]

# Sequence numbers are padded to the digits of the largest, because consumers compare them as text.
SEQUENCE_DIGITS = 20


class MalformedEvent(PlatformError):
    """A record or JSON document that is not an event of this platform."""

    code = "malformed_event"
    http_status = 500


@cache
def schema_attributes(event_type: str, schema_version: int) -> Headers:
    """The headers that are the same for all events of one type and version."""
    return [
        ("ce_specversion", b"1.0"),
        ("content-type", b"application/json"),
        ("ce_type", event_type.encode()),
        ("ce_dataschema", f"urn:muckard:{event_type}:v{schema_version}".encode()),
        ("ce_schemaversion", b"%d" % schema_version),
    ]


def from_kafka(headers: Iterable[tuple[str, bytes]], value: bytes | None) -> Envelope:
    """The envelope of a Kafka record. The relay writes the headers (`outbox/relay/query.py`). Raises MalformedEvent."""
    attributes = {name[3:]: content for name, content in headers if name.startswith("ce_")}
    try:
        return _envelope({name: content.decode() for name, content in attributes.items()}, bytes(value or b""))
    except (KeyError, ValueError, AttributeError) as error:
        raise MalformedEvent(f"This record is not an event of ours: {error!r}.") from None


def to_json(envelope: Envelope) -> dict[str, Any]:
    """The event in CloudEvents' JSON format. Raises MalformedEvent if the payload is not JSON."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(envelope.event_id),
        "type": envelope.event_type,
        "source": envelope.source,
        "time": timestamp(envelope.occurred_at),
        "datacontenttype": "application/json",
        "dataschema": f"urn:muckard:{envelope.event_type}:v{envelope.schema_version}",
        "schemaversion": str(envelope.schema_version),
        "sequence": f"{envelope.aggregate_seq:0{SEQUENCE_DIGITS}d}",
        "partitionkey": str(envelope.aggregate_id),
        "correlationid": str(envelope.correlation_id),
        "traceparent": envelope.traceparent,
    }
    for name, optional in (
        ("causationid", envelope.causation_id),
        ("userid", envelope.user_id),
        ("replayid", envelope.replay_id),
    ):
        if optional is not None:
            event[name] = str(optional)
    if envelope.actor:
        event["actor"] = envelope.actor
    try:
        event["data"] = orjson.loads(envelope.payload)
    except orjson.JSONDecodeError as error:
        raise MalformedEvent(f"The payload of {envelope.event_id} is not JSON: {error}.") from None
    return event


def from_json(event: dict[str, Any]) -> Envelope:
    """The envelope of an event in JSON format, with its payload in canonical bytes. Raises MalformedEvent."""
    try:
        return _envelope(event, rfc8785.dumps(event["data"]))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise MalformedEvent(f"This is not an event of ours: {error!r}.") from None


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _envelope(attributes: dict[str, Any], payload: bytes) -> Envelope:
    aggregate_type, aggregate_id = attributes["source"].strip("/").split("/")
    return Envelope(
        event_id=UUID(attributes["id"]),
        event_type=attributes["type"],
        schema_version=int(attributes["schemaversion"]),
        aggregate_type=aggregate_type,
        aggregate_id=UUID(aggregate_id),
        aggregate_seq=int(attributes["sequence"]),
        occurred_at=datetime.fromisoformat(attributes["time"]),
        user_id=_optional(attributes, "userid"),
        correlation_id=UUID(attributes["correlationid"]),
        causation_id=_optional(attributes, "causationid"),
        traceparent=attributes["traceparent"],
        payload=payload,
        replay_id=_optional(attributes, "replayid"),
        actor=attributes.get("actor", ""),
    )


def _optional(attributes: dict[str, Any], name: str) -> UUID | None:
    text = attributes.get(name)
    return UUID(text) if text else None
