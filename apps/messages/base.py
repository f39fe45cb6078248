"""Base classes of all messages. A message class declares its name, destination and key, and its fields are the payload.

To add a message, add a class in this package; its keyword arguments are the declaration.
"""

import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self
from uuid import UUID

import rfc8785
from pydantic import BaseModel, ConfigDict, ValidationError

from apps.core.errors import PlatformError
from apps.messages.topics import TOPIC_NAMES

# Intermediaries must forward events of this size (CloudEvents 1.0, "Size Limits").
MAX_PAYLOAD_BYTES = 64 * 1024

# Keys are spread over this many slots, and relays and dispatchers share the work by slot. Never change the number: a
# key that changes its slot may be sent by two processes at once, out of order.
SLOTS = 64


class Transport(StrEnum):
    KAFKA = "kafka"
    RABBITMQ = "rabbitmq"


class Priority(StrEnum):
    """High-priority queues have separate workers, so that a flood of normal messages cannot delay them."""

    NORMAL = "normal"
    HIGH = "high"

    @property
    def suffix(self) -> str:
        """Suffix of names that exist once per priority; empty for normal priority."""
        return "" if self is Priority.NORMAL else f".{self}"


class UnknownMessage(PlatformError):
    code = "unknown_message"
    http_status = 500


class InvalidPayload(PlatformError):
    """A payload does not match its class, or is larger than 64 KiB."""

    code = "invalid_payload"
    http_status = 500


class DuplicateMessage(TypeError):
    """Two classes declare the same name and version."""


@dataclass(frozen=True)
class Declaration:
    """The declaration of a message class.

    `destination` is a topic for Kafka and a queue for RabbitMQ. `key_field` is the payload field with the aggregate's
    id; messages are partitioned and ordered by it. `journal` is the Kafka topic that also receives a command or status
    message, for auditors, in order with the events of the same aggregate.
    """

    name: str
    version: int
    transport: Transport
    destination: str
    aggregate: str
    key_field: str
    priority: Priority = Priority.NORMAL
    journal: str | None = None

    @property
    def topic(self) -> str | None:
        """The Kafka topic that the message is sent to, if any."""
        return self.destination if self.transport is Transport.KAFKA else self.journal


_catalogue: dict[tuple[str, int], type["Message"]] = {}


class Message(BaseModel):
    """A payload: immutable, strictly typed and without personal data, because published messages are never deleted."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_timedelta="iso8601")

    declaration: ClassVar[Declaration]

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        declaration: Declaration | None = getattr(cls, "declaration", None)
        if declaration is None:  # Event, Command and Status themselves
            return
        if declaration.key_field not in cls.model_fields:
            raise TypeError(f"{cls.__name__} has no field {declaration.key_field!r} to be its key.")
        if declaration.topic is not None and declaration.topic not in TOPIC_NAMES:
            raise TypeError(f"{cls.__name__} names the topic {declaration.topic!r}: declare it in topics.py.")
        identity = (declaration.name, declaration.version)
        if identity in _catalogue and _catalogue[identity].__qualname__ != cls.__qualname__:
            raise DuplicateMessage(f"{declaration.name} v{declaration.version} is declared twice.")
        _catalogue[identity] = cls

    @property
    def aggregate_id(self) -> UUID:
        key: UUID = getattr(self, self.declaration.key_field)
        return key

    def canonical_bytes(self) -> bytes:
        """The payload as RFC 8785 canonical JSON. Exactly these bytes are hashed, stored and sent.

        Raises InvalidPayload if they are more than 64 KiB.
        """
        payload: bytes = rfc8785.dumps(self.model_dump(mode="json"))
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise InvalidPayload(f"{self.declaration.name} is {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} fit.")
        return payload

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """The message from its canonical bytes. Raises InvalidPayload."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, item["loc"])) or "payload" for item in error.errors())
            raise InvalidPayload(f"This is not a valid {cls.declaration.name}: see {fields}.") from None


class Event(Message):
    """Something that happened. Sent to a Kafka topic, kept there for 90 days, and replayable."""

    def __init_subclass__(cls, *, name: str, topic: str, aggregate: str, key: str, version: int = 1) -> None:
        super().__init_subclass__()
        cls.declaration = Declaration(name, version, Transport.KAFKA, topic, aggregate, key)


class Command(Message):
    """Something to be done once. Sent to the RabbitMQ queue of its name and run as the Celery task of that name."""

    command_id: UUID

    def __init_subclass__(
        cls,
        *,
        name: str,
        aggregate: str,
        key: str,
        journal: str,
        priority: Priority = Priority.NORMAL,
        version: int = 1,
    ) -> None:
        super().__init_subclass__()
        cls.declaration = Declaration(name, version, Transport.RABBITMQ, name, aggregate, key, priority, journal)


class Status(Message):
    """A notification. Sent to the topic exchange; the kraken service reads the queue of the same name."""

    def __init_subclass__(
        cls,
        *,
        name: str,
        aggregate: str,
        key: str,
        journal: str,
        priority: Priority = Priority.NORMAL,
        version: int = 1,
    ) -> None:
        super().__init_subclass__()
        cls.declaration = Declaration(name, version, Transport.RABBITMQ, name, aggregate, key, priority, journal)


class WakeUp(Message):
    """A short-lived message that wakes the workers: sent straight to its queue by a process, never stored.

    It carries no state and triggers no decision by itself, and a lost one is replaced by the next. Everything else is
    an Event, a Command or a Status.
    """

    def __init_subclass__(cls, *, name: str, aggregate: str, key: str, version: int = 1) -> None:
        super().__init_subclass__()
        cls.declaration = Declaration(name, version, Transport.RABBITMQ, name, aggregate, key)


def message_class(name: str, version: int = 1) -> type[Message]:
    """The class of a message name and version. Raises UnknownMessage."""
    try:
        return _catalogue[name, version]
    except KeyError:
        raise UnknownMessage(f"No message is called {name!r} in version {version}.") from None


def all_messages() -> list[type[Message]]:
    """Every message class, ordered by name and version."""
    return [_catalogue[identity] for identity in sorted(_catalogue)]


def slot_of(key: UUID) -> int:
    """The slot (0 to 63) that a key belongs to."""
    return zlib.crc32(str(key).encode()) % SLOTS
