"""The Kafka topics. Partition counts never change, because they decide a key's partition and so its order."""

from dataclasses import dataclass
from datetime import timedelta

RETENTION = timedelta(days=90)


@dataclass(frozen=True)
class Topic:
    name: str
    partitions: int
    retention: timedelta = RETENTION


USER_EVENTS = Topic("user.events", partitions=3)
ONBOARDING_EVENTS = Topic("onboarding.events", partitions=1)
KRAKEN_EVENTS = Topic("kraken.events", partitions=1)
TRADING_EVENTS = Topic("trading.events", partitions=3)
AUDIT_EVENTS = Topic("audit.events", partitions=1)

TOPICS = (USER_EVENTS, ONBOARDING_EVENTS, KRAKEN_EVENTS, TRADING_EVENTS, AUDIT_EVENTS)
TOPIC_NAMES = frozenset(topic.name for topic in TOPICS)
