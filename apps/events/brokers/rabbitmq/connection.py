"""Connections with a timeout on every operation: a broker may be down, frozen, or silent behind an open port."""

import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Any

from amqp.exceptions import AMQPError, ChannelError, NotFound
from django.conf import settings
from kombu import Connection
from kombu.exceptions import KombuError

from apps.core.errors import DependencyUnavailable
from apps.events.brokers.rabbitmq.internals import socket_of

CONNECT_SECONDS = 2.0
IO_SECONDS = 5.0
HEARTBEAT_SECONDS = 10

# Raised by py-amqp and kombu if the broker is lost, refuses or is silent. py-amqp raises AttributeError if a connection
# ends between two of its own steps.
CONNECTION_ERRORS = (AMQPError, KombuError, OSError, AttributeError)


class BrokerUnavailable(DependencyUnavailable):
    """RabbitMQ does not answer, or the connection was lost. Messages may be sent again."""

    code = "rabbitmq_unavailable"


class TopologyMissing(BrokerUnavailable):
    """An exchange or queue is missing. Run `manage.py declare_topology`: clients never create one."""

    code = "rabbitmq_topology_missing"


def connect(name: str, *, connect_seconds: float = CONNECT_SECONDS, io_seconds: float = IO_SECONDS) -> Connection:
    """A connection that shows the process's name in RabbitMQ. No read or write waits longer than `io_seconds`.

    Raises BrokerUnavailable after at most about twice `connect_seconds`.
    """
    connection = Connection(
        settings.ENVIRONMENT.rabbitmq_url,
        connect_timeout=connect_seconds,
        heartbeat=HEARTBEAT_SECONDS,
        transport_options={
            "read_timeout": io_seconds,
            "write_timeout": io_seconds,
            "client_properties": {"connection_name": f"muckard-{name}@{socket.gethostname()}:{os.getpid()}"},
        },
    )
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        # py-amqp has no timeout of its own for opening or closing a channel.
        socket_of(connection).settimeout(io_seconds)
    except CONNECTION_ERRORS as error:
        abort(connection)
        raise unavailable(error) from error
    return connection


def release(connection: Connection) -> None:
    """Closes the connection in order, within bounded time. Use `abort` if the broker does not answer."""
    with contextlib.suppress(*CONNECTION_ERRORS):
        connection.release()
    abort(connection)


def abort(connection: Connection) -> None:
    """Closes the socket at once with a TCP reset: an orderly close would wait for a silent broker.

    Data that the kernel has not sent yet is discarded: those messages are sent again and should not arrive twice.
    """
    with contextlib.suppress(*CONNECTION_ERRORS):
        socket_of(connection).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(*CONNECTION_ERRORS):
        connection.collect()


@contextlib.contextmanager
def corked(connection: Connection) -> Iterator[None]:
    """Sets TCP_CORK: data written in the block is sent in full packets, at the latest when the block ends.

    One packet per small message would cost this process a tenth of its time, and RabbitMQ a third.
    """
    sock = socket_of(connection)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


def unavailable(error: Exception) -> BrokerUnavailable:
    """The error with a message for an operator."""
    if isinstance(error, NotFound):
        return TopologyMissing(f"{error.reply_text}: run `manage.py declare_topology`.")
    # kombu wraps the error of a connection attempt.
    error = error.__cause__ if isinstance(error.__cause__, Exception) else error
    if isinstance(error, TimeoutError):
        return BrokerUnavailable("RabbitMQ is silent: it accepts connections and does not answer.")
    if isinstance(error, ConnectionRefusedError) or "refused" in str(error):
        return BrokerUnavailable("RabbitMQ refuses connections.")
    text = str(error) or type(error).__name__
    if isinstance(error, ChannelError):
        return BrokerUnavailable(f"RabbitMQ closed the channel: {text}")
    return BrokerUnavailable(f"The connection to RabbitMQ was lost: {text}")


def ready_messages(connection: Connection, queues: Iterable[str]) -> int:
    """Number of ready messages in these queues. Raises CONNECTION_ERRORS, among them NotFound for a missing queue."""
    channel: Any = connection.channel()
    count: int = sum(channel.queue_declare(queue, passive=True).message_count for queue in queues)
    # Not in a `finally`: after a failure the connection is aborted, and closing would wait for a silent broker again.
    channel.close()
    return count


def exists(*queues: str) -> bool:
    """Whether all of these queues exist. Raises BrokerUnavailable."""
    connection = connect("lookup")
    try:
        for queue in queues:
            channel: Any = connection.channel()
            channel.queue_declare(queue, passive=True)
    except NotFound:
        return False
    except CONNECTION_ERRORS as error:
        raise unavailable(error) from error
    finally:
        release(connection)
    return True
