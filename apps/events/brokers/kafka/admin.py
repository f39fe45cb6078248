"""Admin client for management commands: one connection attempt with a timeout, closed if it fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from apps.events.brokers.kafka.internals import closing_on_failure
from apps.events.brokers.kafka.options import BrokerUnavailable, client_options

BOOTSTRAP_SECONDS = 10.0


@contextmanager
def admin_client(*, client_id: str = "muckard-admin", seconds: float = BOOTSTRAP_SECONDS) -> Iterator[Any]:
    """A KafkaAdminClient. Raises BrokerUnavailable if the broker does not answer within `seconds`."""
    client = _connect(client_id, seconds)
    try:
        yield client
    finally:
        client.close()


def _connect(client_id: str, seconds: float) -> Any:
    options = client_options(client_id)
    try:
        with closing_on_failure() as network:
            return KafkaAdminClient(**(options | network), bootstrap_timeout_ms=int(seconds * 1000))
    except KafkaError as error:
        servers = ", ".join(options["bootstrap_servers"])
        raise BrokerUnavailable(f"Kafka at {servers} does not answer: {error}.") from error
