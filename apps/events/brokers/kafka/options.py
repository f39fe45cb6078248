"""Options that every Kafka client has in common."""

from typing import Any

from django.conf import settings

from apps.core.errors import DependencyUnavailable
from apps.events.brokers.kafka.internals import network_options

# Assumed protocol version until a connection has negotiated one. Without it, constructors block for half a minute while
# the broker is down.
API_VERSION = (3, 9)

REQUEST_TIMEOUT_MS = 10_000
# The library's default of 30 s would delay the recovery after an outage.
MAX_RECONNECT_BACKOFF_MS = 2_000


class BrokerUnavailable(DependencyUnavailable):
    """Kafka does not answer."""

    code = "kafka_unavailable"


def client_options(client_id: str) -> dict[str, Any]:
    return {
        "bootstrap_servers": list(settings.ENVIRONMENT.kafka_bootstrap_servers),
        "client_id": client_id,
        "api_version": API_VERSION,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "reconnect_backoff_ms": 50,
        "reconnect_backoff_max_ms": MAX_RECONNECT_BACKOFF_MS,
        "retry_backoff_ms": 100,
        **network_options(),
        **_security_options(),
    }


def _security_options() -> dict[str, Any]:
    """TLS and SASL options, as the setting `kafka_security_protocol` requires them."""
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
