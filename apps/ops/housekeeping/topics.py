"""Whether Kafka keeps events for as long as the platform counts on."""

from apps.events.brokers.kafka.admin import admin_client
from apps.events.brokers.topology import kafka
from apps.messages.topics import TOPICS, Topic
from apps.ops.housekeeping.task import HousekeepingProblem

# Shorter than a heartbeat may be silent: while Kafka does not answer, the process is not taken for dead.
_SECONDS = 5.0


def topics_check(topics: tuple[Topic, ...] = TOPICS) -> int:
    """Compares the topics on the broker, their retention first of all, with what is declared. Changes nothing.

    Raises HousekeepingProblem where they differ, BrokerUnavailable.
    """
    with admin_client(client_id="muckard-housekeeping", seconds=_SECONDS) as admin:
        findings = kafka.check(admin, topics)
    if drift := [finding for finding in findings if finding.is_drift]:
        told = "; ".join(f"{finding.what}: {finding.detail or finding.state.value}" for finding in drift)
        raise HousekeepingProblem(f"{told}. Events could be gone before they are read: run manage.py declare_topology.")
    return 0
