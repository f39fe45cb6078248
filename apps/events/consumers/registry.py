"""Registry of message handlers, per consumer group."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from django.utils.module_loading import autodiscover_modules

from apps.messages.base import Event, Message, Status, Transport, message_class
from apps.messages.envelope import Envelope

M = TypeVar("M", bound=Message)
Handler = Callable[[Any, Envelope], None]
H = TypeVar("H", bound=Handler)
BatchHandler = Callable[[Sequence[tuple[Any, Envelope]]], None]
B = TypeVar("B", bound=BatchHandler)


class DuplicateHandler(TypeError):
    """Two functions of one group are registered for the same message."""


@dataclass(frozen=True)
class Registration:
    """A registered handler. Exactly one of `handler` and `batch_handler` is set.

    `has_outside_effects` marks a handler with effects outside the database, which a replay must not repeat.
    `from_journal`: a status message is taken from its copy in Kafka (its journal), not from its queue.
    """

    handler: Handler | None
    has_outside_effects: bool = False
    batch_handler: BatchHandler | None = None
    from_journal: bool = False

    def takes_from_kafka(self, message: type[Message]) -> bool:
        """Whether the handler gets the message from a Kafka topic, and not from a queue of RabbitMQ."""
        return message.declaration.transport is Transport.KAFKA or self.from_journal

    @property
    def function(self) -> Callable[..., None]:
        function = self.handler or self.batch_handler
        assert function is not None
        return function

    def call(self, message: Message, envelope: Envelope) -> None:
        """Calls the handler with one event. Raises whatever the handler raises."""
        if self.handler is not None:
            self.handler(message, envelope)
        else:
            self.function([(message, envelope)])


_registered: dict[str, dict[tuple[str, int], Registration]] = {}


@overload
def consumes(
    message: type[M], /, *, group: str, has_outside_effects: bool = ...
) -> Callable[[Callable[[M, Envelope], None]], Callable[[M, Envelope], None]]: ...
@overload
def consumes(*messages: type[Message], group: str, has_outside_effects: bool = ...) -> Callable[[H], H]: ...
def consumes(*messages: type[Message], group: str, has_outside_effects: bool = False) -> Callable[[Any], Any]:
    """Registers the handler of one or more messages for a consumer group.

    The handler is called as handler(message, envelope), in the transaction that writes the inbox entry. It therefore
    needs no deduplication and no transaction of its own. If it raises, the event is retried, and dead-lettered after
    the last attempt. With `has_outside_effects`, replayed events are not delivered to it.
    """
    _refuse_commands(messages)

    def register(handler: Handler) -> Handler:
        _register(messages, group, Registration(handler, has_outside_effects))
        return handler

    return register


def consumes_batch(*messages: type[Message], group: str, from_journal: bool = False) -> Callable[[B], B]:
    """Registers a batch handler: handler([(message, envelope), …]), with the events of each key in order.

    The batch handler is called in the transaction that writes the inbox entries of all events, so either all take
    effect or none. If it raises, it is called again with one event at a time. It must have no effects outside the
    database and must not publish, because a batch has no single cause. With `from_journal`, status messages are read
    from their journal in Kafka; another service's group has the queue.
    """
    _refuse_commands(messages)
    if unjournalled := [each.__name__ for each in messages if from_journal and each.declaration.topic is None]:
        raise TypeError(f"{', '.join(unjournalled)}: there is no journal to read.")

    def register(handler: B) -> B:
        _register(messages, group, Registration(None, batch_handler=handler, from_journal=from_journal))
        return handler

    return register


def _refuse_commands(messages: tuple[type[Message], ...]) -> None:
    for message in messages:
        if not issubclass(message, Event | Status):
            raise TypeError(f"{message.__name__} is neither an Event nor a Status: consumer groups do not handle it.")


def _register(messages: tuple[type[Message], ...], group: str, registration: Registration) -> None:
    registrations = _registered.setdefault(group, {})
    for message in messages:
        identity = (message.declaration.name, message.declaration.version)
        known = registrations.get(identity)
        if known is not None and _name_of(known.function) != _name_of(registration.function):
            raise DuplicateHandler(f"{identity[0]} has two handlers in {group}; call one from the other.")
        registrations[identity] = registration


def load_consumers() -> None:
    """Imports the consumers.py of every installed app, which fills the registry."""
    autodiscover_modules("consumers")


def groups() -> list[str]:
    """The groups of the installed apps. Call load_consumers() first."""
    return sorted(_registered)


def registrations_for(group: str) -> dict[tuple[str, int], Registration]:
    return _registered.get(group, {})


def handlers_for(group: str, *, transport: Transport | None = None) -> dict[tuple[str, int], Callable[..., None]]:
    """A group's handlers by message name and version; with `transport`, only those that get their messages over it.

    A Kafka topic may also journal commands and status messages. A handler gets these over RabbitMQ, unless it was
    registered with `from_journal`.
    """
    return {
        identity: registration.function
        for identity, registration in registrations_for(group).items()
        if transport in (None, _transport_of(identity, registration))
    }


def topics_of(group: str) -> list[str]:
    """The Kafka topics that a group subscribes to."""
    identities = handlers_for(group, transport=Transport.KAFKA)
    return sorted({topic for each in identities if (topic := message_class(*each).declaration.topic)})


def _transport_of(identity: tuple[str, int], registration: Registration) -> Transport:
    from_kafka = registration.takes_from_kafka(message_class(*identity))
    return Transport.KAFKA if from_kafka else Transport.RABBITMQ


def _name_of(handler: Callable[..., None]) -> tuple[str, str]:
    return handler.__module__, getattr(handler, "__qualname__", repr(handler))
