"""The administrative client, for commands: one attempt, bounded, and nothing left behind where it fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from apps.events.brokers.kafka.options import BrokerUnavailable, client_options, nothing_left_behind

BOOTSTRAP_SECONDS = 10.0


@contextmanager
def admin_client(*, client_id: str = "muckard-admin", seconds: float = BOOTSTRAP_SECONDS) -> Iterator[Any]:
    """A KafkaAdminClient. Raises BrokerUnavailable where the broker does not answer in `seconds`."""
    client = _connect(client_id, seconds)
    try:
        yield client
    finally:
        client.close()


def _connect(client_id: str, seconds: float) -> Any:
    options = client_options(client_id)
    try:
        with nothing_left_behind() as safe:
            return KafkaAdminClient(**(options | safe), bootstrap_timeout_ms=int(seconds * 1000))
    except KafkaError as error:
        servers = ", ".join(options["bootstrap_servers"])
        raise BrokerUnavailable(f"Kafka at {servers} does not answer: {error}.") from error
