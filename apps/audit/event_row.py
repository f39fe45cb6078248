"""Events as the lines that their hashes are made of.

A line is PostgreSQL's COPY text of the columns in the order of `COLUMNS`; its first part, up to the payload, is exactly
the text that events.append_event hashed. So verifying needs no parsing, and an archive is these lines in a file.
"""

import hashlib
from binascii import unhexlify
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from apps.messages.envelope import Envelope


def _microseconds(column: str) -> str:
    # PostgreSQL's own functions and operators alone: the database's owner can replace events.microseconds.
    return f"(extract(epoch FROM {column}) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8"


COLUMNS = f"""
    event_id, event_type, schema_version, aggregate_type, aggregate_id, aggregate_seq,
    {_microseconds("occurred_at")}, {_microseconds("recorded_at")}, user_id, correlation_id, causation_id,
    traceparent, payload, hash
"""
FIELDS_BEFORE_PAYLOAD = 12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# COPY text doubles the backslash of bytea's \x.
_HEX_PREFIX = len(rb"\\x")


class MalformedRecord(ValueError):
    """A line is not an event."""


@dataclass(frozen=True)
class Record:
    """One event as stored, with its own hash."""

    envelope: Envelope
    recorded_at: datetime
    digest: bytes
    header: bytes

    def hash_after(self, previous: bytes) -> bytes:
        """What the event's hash must be, after the previous event of its aggregate (b"" for the first)."""
        return hashlib.sha256(previous + self.header + self.envelope.payload).digest()


def parse_record(line: bytes) -> Record:
    """The event of a COPY text line. Raises MalformedRecord."""
    try:
        head, payload, digest = line.rstrip(b"\n").rsplit(b"\t", 2)
        fields = head.decode().split("\t")
        (event_id, event_type, version, aggregate_type, aggregate_id, sequence, occurred, recorded,
         user_id, correlation_id, causation_id, traceparent) = fields  # fmt: skip
        envelope = Envelope(
            event_id=UUID(event_id),
            event_type=event_type,
            schema_version=int(version),
            aggregate_type=aggregate_type,
            aggregate_id=UUID(aggregate_id),
            aggregate_seq=int(sequence),
            occurred_at=_moment(occurred),
            user_id=UUID(user_id) if user_id else None,
            correlation_id=UUID(correlation_id),
            causation_id=UUID(causation_id) if causation_id else None,
            traceparent=traceparent,
            payload=unhexlify(payload[_HEX_PREFIX:]),
        )
        return Record(envelope, _moment(recorded), unhexlify(digest[_HEX_PREFIX:]), head + b"\t")
    except ValueError as error:
        raise MalformedRecord(f"This line is not an event: {error}") from None


def place_of(line: bytes) -> tuple[str, str, int]:
    """The aggregate's type and id and the event's number in it."""
    aggregate_type, aggregate_id, sequence = line.split(b"\t", 6)[3:6]
    return aggregate_type.decode(), aggregate_id.decode(), int(sequence)


def event_id_of(line: bytes) -> str:
    return line[: line.index(b"\t")].decode()


def digest_of(line: bytes) -> bytes:
    """The event's stored hash."""
    return unhexlify(line.rstrip(b"\n").rsplit(b"\t", 1)[1][_HEX_PREFIX:])


def _moment(microseconds: str) -> datetime:
    return _EPOCH + timedelta(microseconds=int(microseconds))
