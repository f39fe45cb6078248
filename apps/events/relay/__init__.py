"""From the outbox to Kafka: what is committed is sent, in the order of its key, and then leaves the outbox."""

from apps.events.relay.relay import Relay
from apps.events.relay.shards import Shard

__all__ = ["Relay", "Shard"]
