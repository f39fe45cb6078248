"""What has come to a halt: nothing may, once every server and process is there."""

from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kombu import Connection

from apps.events.brokers.topology import rabbitmq as topology
from apps.events.consumers.registry import topics_of
from apps.messages.base import Priority
from tests.chaos.servers import Servers
from tests.chaos.witness.consumers import GROUP

# Queues of which some process of the fleet is a consumer.
CONSUMED = frozenset({"bot.stop", "bot.trigger_trade", "bot.started", "bot.stopped", "bot.error"}) | frozenset(
    topology.failures_name(priority) for priority in Priority
)

OUTBOX = "SELECT transport, count(*) FROM events.outbox GROUP BY transport ORDER BY transport"
COMMANDS = "SELECT count(*) FROM events.command_execution WHERE state IN ('running', 'retrying')"
DOWN = """
SELECT name, detail FROM events.process_heartbeat
 WHERE state = 'down' AND beat_at > now() - interval '10 seconds' ORDER BY name
"""


class Leftovers:
    """Asks past the links. `query` is Evidence.query."""

    def __init__(self, servers: Servers, query: Any) -> None:
        self._servers = servers
        self._query = query

    def found(self) -> list[str]:
        """Each a line that says where how much lies, of all rounds so far. Nothing, where nothing is stuck."""
        return [*self._in_postgres(), *self._in_kafka(), *self._in_rabbitmq()]

    def _in_postgres(self) -> list[str]:
        lines = [f"{count} rows in the outbox for {transport}" for transport, count in self._query(OUTBOX)]
        [(unfinished,)] = self._query(COMMANDS)
        if unfinished:
            lines.append(f"{unfinished} commands unfinished")
        return lines + [f"{name} says down: {detail}" for name, detail in self._query(DOWN)]

    def _in_kafka(self) -> list[str]:
        """What the group has not committed, by the broker's own ends."""
        address = [self._servers.urls()["KAFKA_BOOTSTRAP_SERVERS"]]
        admin: Any = KafkaAdminClient(bootstrap_servers=address, api_version=(3, 9))
        reader: Any = KafkaConsumer(
            bootstrap_servers=address, api_version=(3, 9), enable_auto_commit=False, metrics_enabled=False
        )
        try:
            committed = admin.list_group_offsets([GROUP])[GROUP]
            names = topics_of(GROUP)
            ends = reader.end_offsets(
                [TopicPartition(name, number) for name in names for number in reader.partitions_for_topic(name)]
            )
        finally:
            admin.close()
            reader.close()
        left = {each: end - (committed[each].offset if each in committed else 0) for each, end in ends.items()}
        return [f"{count} events of {each.topic}/{each.partition}" for each, count in left.items() if count > 0]

    def _in_rabbitmq(self) -> list[str]:
        with Connection(self._servers.direct_url("rabbitmq")) as connection:
            channel: Any = connection.channel()
            counts = {
                queue.name: channel.queue_declare(queue.name, passive=True).message_count
                for queue in topology.queues()
                if queue.name in CONSUMED
            }
        return [f"{count} messages in {name}" for name, count in counts.items() if count]
