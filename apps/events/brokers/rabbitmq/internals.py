"""The only module that uses private parts of py-amqp and kombu, checked against py-amqp 5.4.2 and kombu 5.7.0.

Which parts, and why:

- `kombu.Connection._connection`: the public property `connection` reconnects if the connection is lost.
- `amqp.Connection.transport.sock`: py-amqp has no public way to set a timeout for every read, to cork small packets, or
  to close the socket without flushing it.
- `amqp.serialization.PROPERTY_CLASSES` and `decode_properties_basic`: an exception there ends the process that reads,
  and the next one, because the message is delivered again.
- `amqp.Message._serialize_properties`: the only way to know whether properties fit into one frame before sending them.

No public API does the same, so there is no second path for another version: tests/integration/events/
test_malformed_messages.py and test_rabbitmq_outages.py fail if one of these parts changes.
"""

import socket
from collections.abc import Callable
from typing import Any

from amqp import serialization
from amqp.spec import Basic
from kombu import Connection

Decoder = Callable[[Any, int], tuple[dict[str, Any], int]]

decode_properties: Decoder = serialization.decode_properties_basic


def socket_of(connection: Connection) -> socket.socket:
    """The socket of an open connection. Raises AttributeError if the connection is lost; never reconnects."""
    opened: Any = getattr(connection, "_connection", None)
    sock: socket.socket = opened.transport.sock
    return sock


def set_properties_decoder(decoder: Decoder) -> None:
    """Replaces py-amqp's decoder of message properties, for every connection of this process."""
    decoders: dict[int, Any] = serialization.PROPERTY_CLASSES
    decoders[Basic.CLASS_ID] = decoder


def serialized_properties(message: Any) -> bytes:
    """The properties as they are sent. Raises whatever py-amqp raises for values that cannot be serialized."""
    properties: bytes = message._serialize_properties()
    return properties
