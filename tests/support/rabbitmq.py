"""RabbitMQ for tests: a virtual host of its own for each pytest session, so that sessions side by side do not share
queues, and eyes to look into it."""

import base64
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import pytest
from django.conf import settings
from django.db.models import QuerySet
from kombu import Connection

from apps.events.brokers.topology import rabbitmq as topology
from apps.events.models import OutboxRow

# As many as by default, so that a command has as many attempts.
SHORT_DELAYS = (1, 1, 1, 1)


def rabbitmq_rows() -> "QuerySet[OutboxRow]":
    """What waits for the dispatcher. Copies for the journal in Kafka are the relay's."""
    return OutboxRow.objects.filter(transport="rabbitmq")


class RabbitMQ:
    """A virtual host: its URL, its queues' contents, its declaration."""

    def __init__(self, url: str, management_url: str) -> None:
        self.url = url
        self.vhost = urlsplit(url).path.lstrip("/")
        self._management = urlsplit(management_url)

    def create(self) -> None:
        user = self._management.username or ""
        self.call("PUT", f"vhosts/{quote(self.vhost, safe='')}")
        permissions = {"configure": ".*", "write": ".*", "read": ".*"}
        self.call("PUT", f"permissions/{quote(self.vhost, safe='')}/{user}", permissions)

    def remove(self) -> None:
        self.call("DELETE", f"vhosts/{quote(self.vhost, safe='')}")

    def declare(self) -> None:
        with Connection(self.url) as connection:
            drift = [finding for finding in topology.declare(connection) if finding.is_drift]
        assert drift == []

    @contextmanager
    def channel(self) -> Iterator[Any]:
        with Connection(self.url) as connection:
            yield connection.channel()

    def names(self, kind: str) -> set[str]:
        """Of all "queues" or "exchanges" of the virtual host."""
        return {each["name"] for each in self.call("GET", f"{kind}/{quote(self.vhost, safe='')}")}

    def bindings(self) -> list[tuple[str, str, str]]:
        """(exchange, queue, routing key)"""
        listed = self.call("GET", f"bindings/{quote(self.vhost, safe='')}")
        return [(each["source"], each["destination"], each["routing_key"]) for each in listed]

    def count(self, queue: str) -> int:
        """Messages that are ready in the queue, by its leader's own word."""
        with self.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)

    def take(self, queue: str, at_most: int = 1000) -> list[Any]:
        """Takes messages out of the queue, acknowledged."""
        taken: list[Any] = []
        with self.channel() as channel:
            while len(taken) < at_most and (message := channel.basic_get(queue, no_ack=True)) is not None:
                taken.append(message)
        return taken

    def purge(self) -> None:
        with self.channel() as channel:
            for queue in topology.queues():
                channel.queue_purge(queue.name)

    @contextmanager
    def full(self, queue: str) -> Iterator[None]:
        """The queue takes no more than two messages while the block runs; a policy only lowers what is declared."""
        policy = f"policies/{quote(self.vhost, safe='')}/full"
        body = {"pattern": f"^{queue}$", "definition": {"max-length": 2}, "apply-to": "queues"}
        self.call("PUT", policy, body)
        try:
            yield
        finally:
            self.call("DELETE", policy)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        login = f"{self._management.username}:{self._management.password}".encode()
        request = Request(
            f"http://{self._management.hostname}:{self._management.port}/api/{path}",
            method=method,
            data=json.dumps(body or {}).encode() if method == "PUT" else None,
            headers={
                "authorization": f"Basic {base64.b64encode(login).decode()}",
                "content-type": "application/json",
            },
        )
        with urlopen(request, timeout=10) as response:
            text = response.read()
        return json.loads(text) if text else None


@pytest.fixture(scope="session")
def rabbitmq_vhost() -> Iterator[RabbitMQ]:
    """A fresh virtual host with the declared topology and retries after a second. RABBITMQ_URL and the settings lead
    there, for this process and those it starts."""
    before, environment = os.environ["RABBITMQ_URL"], settings.ENVIRONMENT
    parts = urlsplit(before)
    url = urlunsplit(parts._replace(path=f"/test-{secrets.token_hex(4)}"))
    server = RabbitMQ(url, os.environ["MUCKARD_RABBITMQ_MANAGEMENT_URL"])
    server.create()
    os.environ["RABBITMQ_URL"] = url
    os.environ["MUCKARD_RETRY_DELAYS_SECONDS"] = ",".join(map(str, SHORT_DELAYS))
    settings.ENVIRONMENT = environment.model_copy(update={"rabbitmq_url": url, "retry_delays_seconds": SHORT_DELAYS})
    try:
        server.declare()
        yield server
    finally:
        os.environ["RABBITMQ_URL"] = before
        del os.environ["MUCKARD_RETRY_DELAYS_SECONDS"]
        settings.ENVIRONMENT = environment
        server.remove()


@pytest.fixture
def rabbitmq(rabbitmq_vhost: RabbitMQ) -> RabbitMQ:
    """The session's virtual host with its queues empty."""
    rabbitmq_vhost.purge()
    return rabbitmq_vhost
