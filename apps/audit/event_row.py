"""Event rows: the text form of stored events over which their hashes are computed.

A row is PostgreSQL's COPY text of the columns in the order of `COLUMNS`. Its first part, up to the payload, is exactly
the text that events.append_event hashed: verification needs no parsing, and an archive is a file of these lines.
The actor is the last column of that part. Events from before actors were recorded have none: `hashed_head` leaves the
empty column out, and archives of that time have no such column.
"""

from binascii import unhexlify
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from apps.messages.envelope import Envelope


def _microseconds(column: str) -> str:
    # Only PostgreSQL's built-in functions and operators: the database's owner can replace events.microseconds.
    return f"(extract(epoch FROM {column}) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8"


COLUMNS = f"""
    event_id, event_type, schema_version, aggregate_type, aggregate_id, aggregate_seq,
    {_microseconds("occurred_at")}, {_microseconds("recorded_at")}, user_id, correlation_id, causation_id,
    traceparent, actor, payload, hash
"""
COLUMNS_BEFORE_PAYLOAD = 13
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# COPY text doubles the backslash of bytea's \x.
_HEX_PREFIX = len(rb"\\x")

# An event's aggregate type, aggregate id and number in the aggregate.
Position = tuple[str, str, int]


class MalformedEventRow(ValueError):
    """A line is not an event row."""


@dataclass(frozen=True)
class EventRow:
    """A stored event: envelope, recording time and hash (`digest`)."""

    envelope: Envelope
    recorded_at: datetime
    digest: bytes


def parse_event_row(line: bytes) -> EventRow:
    """Parses a line of COPY text. Raises MalformedEventRow."""
    try:
        head, payload, digest = line.rstrip(b"\n").rsplit(b"\t", 2)
        fields = head.decode().split("\t")
        (event_id, event_type, version, aggregate_type, aggregate_id, sequence, occurred, recorded,
         user_id, correlation_id, causation_id, traceparent, *actor) = fields  # fmt: skip
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
            payload=unescape_bytea(payload),
            actor=actor[0] if actor else "",
        )
        return EventRow(envelope, _moment(recorded), unescape_bytea(digest))
    except ValueError as error:
        raise MalformedEventRow(f"This line is not an event: {error}") from None


def hashed_head(head: bytes) -> bytes:
    """The columns before the payload, as they were hashed: the actor's only where there is one."""
    has_empty_actor = head.endswith(b"\t") and head.count(b"\t") == COLUMNS_BEFORE_PAYLOAD - 1
    return head[:-1] if has_empty_actor else head


def position_of(line: bytes) -> Position:
    aggregate_type, aggregate_id, sequence = line.split(b"\t", 6)[3:6]
    return aggregate_type.decode(), aggregate_id.decode(), int(sequence)


def follows(position: Position, last: Position) -> bool:
    """Whether the position is the next one in the same aggregate."""
    return position == (*last[:2], last[2] + 1)


def unescape_bytea(text: bytes) -> bytes:
    r"""The value of a bytea column in COPY text (``\\x0a1b``). Raises ValueError."""
    return unhexlify(text[_HEX_PREFIX:])


def event_id_of(line: bytes) -> str:
    return line[: line.index(b"\t")].decode()


def digest_of(line: bytes) -> bytes:
    """The event's stored hash."""
    return unescape_bytea(line.rstrip(b"\n").rsplit(b"\t", 1)[1])


def _moment(microseconds: str) -> datetime:
    return _EPOCH + timedelta(microseconds=int(microseconds))
