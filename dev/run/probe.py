"""Does a server truly answer? Runs in the venv, with the clients that the platform itself uses.

    python -m dev.run.probe SERVER SECONDS       the URL comes on standard input: it holds a password

Ends with 0 once the server has logged us in and answered, else with 1 and the cause on standard output.
"""

import logging
import socket
import sys
import time
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

POLL_SECONDS = 0.1
DEFAULT_PORTS = {"postgres": 5432, "rabbitmq": 5672, "redis": 6379, "kafka": 9092}


class Refused(Exception):
    """The server answers, and waiting will not change its answer."""


def postgres(url: str) -> None:
    import psycopg2

    try:
        with psycopg2.connect(url, connect_timeout=3) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.OperationalError as error:
        text = " ".join(str(error).split())
        if "authentication failed" in text or "does not exist" in text:
            raise Refused(text) from None
        raise
    connection.close()


def rabbitmq(url: str) -> None:
    import amqp

    parts = urlsplit(url)
    connection = amqp.Connection(
        host=f"{parts.hostname}:{parts.port or 5672}",
        userid=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        virtual_host=unquote(parts.path[1:]) or "/",
        ssl=parts.scheme == "amqps",
        connect_timeout=3,
        read_timeout=5,
    )
    try:
        connection.connect()
        connection.channel().close()
        connection.close()
    except (amqp.exceptions.AccessRefused, amqp.exceptions.NotAllowed) as error:
        raise Refused(str(error)) from None
    finally:
        connection.collect()


def redis(url: str) -> None:
    import redis as client

    try:
        with client.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3) as connection:
            connection.ping()
    except client.exceptions.AuthenticationError as error:
        raise Refused(str(error)) from None


def kafka(url: str) -> None:
    from kafka import KafkaAdminClient

    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    client = KafkaAdminClient(bootstrap_servers=url.split(","), bootstrap_timeout_ms=3000, request_timeout_ms=5000)
    try:
        client.list_topics()
    finally:
        client.close()


PROBES: dict[str, Callable[[str], None]] = {"postgres": postgres, "rabbitmq": rabbitmq, "redis": redis, "kafka": kafka}


def answers(server: str, url: str, seconds: float) -> str | None:
    """None once the server answers; after `seconds`, or at once where it refuses us, the reason why it does not."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            _reach(server, url)
            PROBES[server](url)
        except Refused as error:
            return str(error)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
        else:
            return None
        if time.monotonic() > deadline:
            return reason
        time.sleep(POLL_SECONDS)


def _reach(server: str, url: str) -> None:
    """A bare connection first: cheap to repeat, and some clients leave threads behind when they cannot connect."""
    first = url.split(",", maxsplit=1)[0]
    parts = urlsplit(first if "://" in first else f"//{first}")
    socket.create_connection((parts.hostname or "127.0.0.1", parts.port or DEFAULT_PORTS[server]), timeout=3).close()


if __name__ == "__main__":
    problem = answers(sys.argv[1], sys.stdin.read().strip(), float(sys.argv[2]))
    if problem is not None:
        print(problem)
        sys.exit(1)
