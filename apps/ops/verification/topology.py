"""Whether queues and topics are as declared: arguments, bindings, partitions, retention, replication."""

from collections.abc import Callable, Iterator

import requests
from kafka.errors import KafkaError

from apps.core.errors import PlatformError
from apps.events.brokers.kafka.admin import admin_client
from apps.events.brokers.rabbitmq import connection as rabbitmq_connection
from apps.events.brokers.topology import Finding, kafka, rabbitmq
from apps.ops.verification.outcome import Outcome, problem

_ADVICE = "`manage.py declare_topology` puts it right; docs/rabbitmq.md says what becomes of what it cannot."


def topology() -> Iterator[Outcome]:
    yield from _compared("rabbitmq", _rabbitmq)
    yield from _compared("kafka", _kafka)


def _compared(broker: str, look: Callable[[], list[Finding]]) -> Iterator[Outcome]:
    try:
        findings = look()
    except (PlatformError, KafkaError, requests.RequestException, *rabbitmq_connection.CONNECTION_ERRORS) as error:
        yield problem(f"topology {broker}", f"It could not be compared: {error}", "See the checks of dependencies.")
        return
    drift = [finding for finding in findings if finding.is_drift]
    for each in drift:
        yield problem(f"topology {each.what}", each.detail or each.state.value, _ADVICE)
    if not drift:
        yield Outcome(f"topology {broker}", True, f"{len(findings)} as declared")


def _rabbitmq() -> list[Finding]:
    opened = rabbitmq_connection.connect("verify")
    try:
        return rabbitmq.check(opened)
    finally:
        rabbitmq_connection.release(opened)


def _kafka() -> list[Finding]:
    with admin_client(client_id="muckard-verify") as admin:
        return kafka.check(admin)
