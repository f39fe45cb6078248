"""Connections on which nothing waits for ever: a broker may be gone, frozen, or silent behind an open port."""

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

CONNECT_SECONDS = 2.0
IO_SECONDS = 5.0
HEARTBEAT_SECONDS = 10

# What a lost, refused or silent broker raises in py-amqp and kombu. AttributeError is what py-amqp raises where a
# connection ends between two of its own steps.
CONNECTION_ERRORS = (AMQPError, KombuError, OSError, AttributeError)


class BrokerUnavailable(DependencyUnavailable):
    """RabbitMQ does not answer, or lost the connection. What was to be sent may be sent again."""

    code = "rabbitmq_unavailable"


class TopologyMissing(BrokerUnavailable):
    """An exchange or queue is not there. Run `manage.py declare_topology`; it is never created by using it."""

    code = "rabbitmq_topology_missing"


def connect(name: str, *, connect_seconds: float = CONNECT_SECONDS, io_seconds: float = IO_SECONDS) -> Connection:
    """A connection named after its process. No read or write on it waits longer than `io_seconds`.

    Raises BrokerUnavailable, after at most about twice `connect_seconds`.
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
        # py-amqp waits without end wherever a caller names no timeout: for a channel to open or close, say.
        connection.connection.transport.sock.settimeout(io_seconds)
    except CONNECTION_ERRORS as error:
        collect(connection)
        raise unavailable(error) from error
    return connection


def release(connection: Connection) -> None:
    """Says good-bye, within bounded time, to a broker that answers; use `collect` for one that does not."""
    with contextlib.suppress(*CONNECTION_ERRORS):
        connection.release()
    collect(connection)


def collect(connection: Connection) -> None:
    """Drops the connection without a word: closing it in order would wait for a broker that is silent.

    What the kernel has not sent is dropped as well: it will be sent again, and need not arrive twice.
    """
    # Not the property of that name, which connects where there is no connection.
    opened: Any = getattr(connection, "_connection", None)
    with contextlib.suppress(*CONNECTION_ERRORS):
        opened.transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(*CONNECTION_ERRORS):
        connection.collect()


@contextlib.contextmanager
def in_full_packets(connection: Connection) -> Iterator[None]:
    """What is written meanwhile leaves together, at the end of the block at the latest.

    A packet for each small message costs this process a tenth of its time, and RabbitMQ a third.
    """
    sock: socket.socket = connection.connection.transport.sock
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


def unavailable(error: Exception) -> BrokerUnavailable:
    """The error as a person should read it."""
    if isinstance(error, NotFound):
        return TopologyMissing(f"{error.reply_text}: run `manage.py declare_topology`.")
    # kombu wraps what it met while connecting.
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
    """How many messages lie ready in these queues. Raises what CONNECTION_ERRORS lists: NotFound for a missing one."""
    channel: Any = connection.channel()
    count: int = sum(channel.queue_declare(queue, passive=True).message_count for queue in queues)
    # Not after a failure: the connection is given up then, and closing would wait once more for a silent broker.
    channel.close()
    return count


def exists(*queues: str) -> bool:
    """Whether all of these queues are there. Raises BrokerUnavailable."""
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
