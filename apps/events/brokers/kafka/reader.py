"""Reads topics from a start time to their current end, outside any consumer group. Used by replays and reports."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from apps.events.brokers.kafka.internals import closing_on_failure
from apps.events.brokers.kafka.options import BrokerUnavailable, client_options

_SILENCE_SECONDS = 15.0
_POLL_MS = 500


@dataclass(frozen=True)
class Extent:
    """What Kafka holds of a topic from the reader's start time on, by the broker's offsets.

    `is_whole` is true if none of it was deleted: the topic still starts at offset 0, or still holds older records.
    """

    records: int
    is_whole: bool


class TopicReader:
    """One pass over topics: the records from `since` on (recorded-at time of the database clock), or all records.

    Records that arrive after the pass has started are not read.
    """

    def __init__(self, topics: list[str], *, since: datetime | None = None) -> None:
        self._topics = topics
        self._since = since

    def records(self) -> Iterator[Any]:
        """ConsumerRecords of kafka-python, in offset order per partition. Raises BrokerUnavailable."""
        consumer = self._consumer()
        try:
            yield from self._pass(consumer)
        except KafkaError as error:
            raise BrokerUnavailable(f"Kafka could not be read to the end: {error!r}.") from None
        finally:
            consumer.close()

    def extents(self) -> dict[str, Extent]:
        """Extents by topic. Raises BrokerUnavailable."""
        consumer = self._consumer()
        try:
            partitions = self._partitions(consumer)
            beginnings, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
            starts = self._starts(consumer, beginnings, ends)
        except KafkaError as error:
            raise BrokerUnavailable(f"Kafka does not say what it holds: {error!r}.") from None
        finally:
            consumer.close()
        return {
            topic: Extent(
                records=sum(ends[each] - starts[each] for each in partitions if each.topic == topic),
                is_whole=all(
                    beginnings[each] == 0 or starts[each] > beginnings[each]
                    for each in partitions
                    if each.topic == topic
                ),
            )
            for topic in self._topics
        }

    def _consumer(self) -> Any:
        with closing_on_failure() as network:
            return KafkaConsumer(
                **(client_options("muckard-reader") | network),
                group_id=None,
                enable_auto_commit=False,
                # If retention deletes records that a slow pass has not read yet, the pass must fail: the default would
                # skip them.
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )

    def _pass(self, consumer: Any) -> Iterator[Any]:
        partitions = self._partitions(consumer)
        ends = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        self._seek(consumer, partitions)
        waiting = {partition for partition in partitions if consumer.position(partition) < ends[partition]}
        silent_polls = 0
        while waiting:
            batch = consumer.poll(timeout_ms=_POLL_MS)
            silent_polls = 0 if batch else silent_polls + 1
            if silent_polls * _POLL_MS > _SILENCE_SECONDS * 1000:
                raise BrokerUnavailable("Kafka stopped answering in the middle of a replay.")
            for partition, records in batch.items():
                yield from (record for record in records if record.offset < ends[partition])
            waiting = {partition for partition in waiting if consumer.position(partition) < ends[partition]}

    def _partitions(self, consumer: Any) -> list[TopicPartition]:
        numbers = {topic: consumer.partitions_for_topic(topic) for topic in self._topics}
        unknown = [topic for topic in self._topics if not numbers[topic]]
        if unknown:
            raise BrokerUnavailable(f"Kafka does not answer, or does not have the topics {', '.join(unknown)}.")
        return [TopicPartition(topic, number) for topic in self._topics for number in sorted(numbers[topic])]

    def _seek(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        if self._since is None:
            consumer.seek_to_beginning(*partitions)
            return
        for partition, offset in self._first_since(consumer, partitions).items():
            if offset is None:
                consumer.seek_to_end(partition)
            else:
                consumer.seek(partition, offset)

    def _starts(
        self, consumer: Any, beginnings: dict[TopicPartition, int], ends: dict[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        if self._since is None:
            return beginnings
        found = self._first_since(consumer, list(beginnings))
        return {each: ends[each] if offset is None else offset for each, offset in found.items()}

    def _first_since(self, consumer: Any, partitions: list[TopicPartition]) -> dict[TopicPartition, int | None]:
        """Per partition, the offset of the first record with a timestamp at or after `since`; None if there is none.

        A record's timestamp is the time at which the event was recorded. No later record is missed by starting here,
        though some records behind this offset may be older than `since`.
        """
        assert self._since is not None
        since_ms = int(self._since.timestamp() * 1000)
        found = consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
        return {each: None if found.get(each) is None else found[each].offset for each in partitions}
