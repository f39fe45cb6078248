"""What every Kafka client of ours has in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from kafka.net.compat import KafkaNetClient

from apps.core.errors import DependencyUnavailable

# The protocol spoken until a connection has told what the broker can. Saying it keeps constructors from blocking for
# half a minute where the broker is down.
API_VERSION = (3, 9)

REQUEST_TIMEOUT_MS = 10_000
# Not the library's 30 s: work has to go on soon after the broker is back.
LONGEST_RECONNECT_PAUSE_MS = 2_000
CONNECT_TIMEOUT_MS = 4_000
LEAST_SENDER_PAUSE_MS = 20.0


class BrokerUnavailable(DependencyUnavailable):
    """Kafka does not answer."""

    code = "kafka_unavailable"


_LIMITS = {
    # Limits for connecting that the library's public options do not offer.
    "socket_connection_setup_timeout_ms": CONNECT_TIMEOUT_MS,
    "socket_connection_setup_timeout_max_ms": CONNECT_TIMEOUT_MS,
}


def network_client(**configs: Any) -> Any:
    """The library's network client, with limits for connecting."""
    return KafkaNetClient(**_LIMITS, **configs)


def producer_network_client(**configs: Any) -> Any:
    return _ProducerNetClient(**_LIMITS, **configs)


class _ProducerNetClient(KafkaNetClient):  # type: ignore[misc]
    def connection_delay(self, node_id: Any) -> float:
        """How long the sender waits for a connection, in milliseconds.

        The library's answer is in seconds and may be 0 while a connection is made: its sender takes it for
        milliseconds, and spins for as long as a broker is frozen.
        """
        return max(1000 * float(super().connection_delay(node_id)), LEAST_SENDER_PAUSE_MS)


@contextmanager
def nothing_left_behind() -> Iterator[dict[str, Any]]:
    """Yields options for a client's constructor; where that fails, its thread and sockets are closed.

    The library leaves a thread and four file descriptors behind at every failed attempt.
    """
    made: list[Any] = []

    def remembered(**configs: Any) -> Any:
        made.append(network_client(**configs))
        return made[-1]

    try:
        yield {"kafka_client": remembered}
    except BaseException:
        for client in made:
            client.close()
            client._net.stop()
        raise


def client_options(client_id: str) -> dict[str, Any]:
    return {
        "bootstrap_servers": list(settings.ENVIRONMENT.kafka_bootstrap_servers),
        "client_id": client_id,
        "api_version": API_VERSION,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "reconnect_backoff_ms": 50,
        "reconnect_backoff_max_ms": LONGEST_RECONNECT_PAUSE_MS,
        "retry_backoff_ms": 100,
        "kafka_client": network_client,
        **_security(),
    }


def _security() -> dict[str, Any]:
    """How the broker is known, and how we are: by the settings' protocol."""
    environment = settings.ENVIRONMENT
    protocol: str = environment.kafka_security_protocol
    options: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL") and environment.kafka_ca_file is not None:
        options["ssl_cafile"] = str(environment.kafka_ca_file)
    if protocol.startswith("SASL"):
        options["sasl_mechanism"] = environment.kafka_sasl_mechanism
        options["sasl_plain_username"] = environment.secret("kafka_username", needed_for="logging in to Kafka")
        options["sasl_plain_password"] = environment.secret("kafka_password", needed_for="logging in to Kafka")
    return options
