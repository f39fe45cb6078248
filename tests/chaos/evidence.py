"""What is really there: in PostgreSQL, in Kafka, in the witness's notes. Read past the links."""

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from kafka import KafkaConsumer, TopicPartition

from apps.messages.base import Declaration, Transport, message_class
from apps.messages.cloud_events import from_kafka
from apps.messages.topics import TOPICS
from tests.chaos.servers import Servers
from tests.chaos.witness.consumers import GROUP
from tests.chaos.writer import Journal

COMMANDS = frozenset({"bot.stop", "bot.trigger_trade"})
READ_SECONDS = 30.0


@dataclass(frozen=True)
class Stored:
    """An event as the store has it."""

    event_id: str
    event_type: str
    key: str
    sequence: int
    digest: str

    @property
    def declaration(self) -> Declaration:
        return message_class(self.event_type).declaration


@dataclass(frozen=True)
class Record:
    """An event as Kafka has it, in the place where it lies."""

    event_id: str
    key: str
    sequence: int
    digest: str


@dataclass
class Findings:
    """What is wrong; nothing, where all is well. And what was counted."""

    problems: list[str] = field(default_factory=list)
    events: int = 0
    commands: int = 0
    statuses: int = 0
    duplicates: int = 0
    stuck: int = 0

    def expect_none(self, what: str, found: Iterable[Any]) -> None:
        wrong = sorted(map(str, found))
        if wrong:
            self.problems.append(f"{what}: {len(wrong)}, such as {', '.join(wrong[:3])}")


Marks = dict[TopicPartition, int]


class Evidence:
    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def query(self, text: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self._servers.direct_url("postgres"), connect_timeout=5)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(text, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def outbox_rows(self) -> int:
        return int(self.query("SELECT count(*) FROM events.outbox")[0][0])

    def heartbeats(self) -> set[str]:
        """The processes that live and see their servers."""
        found = self.query(
            "SELECT name FROM events.process_heartbeat WHERE state = 'up' AND beat_at > now() - interval '10 seconds'"
        )
        return {name for (name,) in found}

    def cut_connections(self) -> int:
        """Ends every session of every role in PostgreSQL. How many there were."""
        found = self.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return len(found)

    def is_caught_up(self, keys: Sequence[str]) -> bool:
        """Everything stored about these aggregates has left the outbox and has been seen or done."""
        return self.waiting(keys) == (0, 0, 0)

    def waiting(self, keys: Sequence[str]) -> tuple[int, int, int]:
        """Rows in the outbox, messages not seen, commands not done."""
        [found] = self.query(
            """
            SELECT (SELECT count(*) FROM events.outbox WHERE key = ANY(%(keys)s::uuid[])),
                   count(*) FILTER (WHERE event_type <> ALL(%(commands)s)
                                      AND NOT EXISTS (SELECT FROM chaos.sighting s WHERE s.event_id = e.event_id)),
                   count(*) FILTER (WHERE event_type = ANY(%(commands)s)
                                      AND NOT EXISTS (SELECT FROM events.command_execution x
                                                       WHERE x.command_id = e.event_id AND x.state = 'done'))
              FROM events.event e WHERE aggregate_id = ANY(%(keys)s::uuid[])
            """,
            {"keys": list(keys), "commands": list(COMMANDS)},
        )
        return found[0], found[1], found[2]

    def marks(self) -> Marks:
        """Where Kafka's topics end now."""
        with _reader(self._servers) as reader:
            return dict(reader.end_offsets(_partitions(reader)))

    def records_since(self, marks: Marks) -> list[Record]:
        with _reader(self._servers) as reader:
            reader.assign(list(marks))
            for partition, offset in marks.items():
                reader.seek(partition, offset)
            ends = reader.end_offsets(list(marks))
            found: list[Record] = []
            deadline = time.monotonic() + READ_SECONDS
            while any(reader.position(each) < ends[each] for each in marks):
                assert time.monotonic() < deadline, "the topics could not be read to their ends"
                for records in reader.poll(timeout_ms=500).values():
                    found += [_record(each) for each in records]
            return found

    def stored(self, keys: Sequence[str]) -> list[Stored]:
        rows = self.query(
            "SELECT event_id::text, event_type, aggregate_id::text, aggregate_seq, payload FROM events.event "
            "WHERE aggregate_id = ANY(%s::uuid[]) ORDER BY aggregate_id, aggregate_seq",
            [list(keys)],
        )
        return [
            Stored(event_id, event_type, key, sequence, _digest(payload))
            for event_id, event_type, key, sequence, payload in rows
        ]

    def judge(self, keys: Sequence[str], journal: Journal, marks: Marks) -> Findings:
        """Compares what the writers know, what is stored, what Kafka has and what the witness saw."""
        findings = Findings()
        stored = {each.event_id: each for each in self.stored(keys)}
        self._judge_store(findings, stored, journal)
        # A duplicate of a round before may have come late.
        own = [each for each in self.records_since(marks) if each.key in keys]
        self._judge_kafka(findings, stored, own)
        self._judge_sightings(findings, keys, stored)
        self._judge_commands(findings, stored)
        for what, table in (("keys are parked", "events.parked_key"), ("dead letters", "events.dead_letter")):
            found = self.query(f"SELECT event_id::text FROM {table} WHERE key = ANY(%s::uuid[])", [list(keys)])
            findings.expect_none(what, [event_id for (event_id,) in found])
        return findings

    def _judge_store(self, findings: Findings, stored: dict[str, Stored], journal: Journal) -> None:
        known = journal.committed | journal.unknown
        findings.expect_none("committed, and not stored", journal.committed.keys() - stored.keys())
        findings.expect_none("rolled back, and stored", journal.rolled_back.keys() & stored.keys())
        findings.expect_none("stored, and written by nobody", stored.keys() - known.keys())
        findings.expect_none(
            "stored otherwise than written",
            [each.event_id for each in stored.values() if known.get(each.event_id) != each.digest],
        )

    def _judge_kafka(self, findings: Findings, stored: dict[str, Stored], records: list[Record]) -> None:
        expected = {each.event_id: each for each in stored.values() if each.declaration.topic}
        times = Counter(each.event_id for each in records)
        findings.events = len(expected)
        findings.duplicates = sum(times.values()) - len(times)
        findings.expect_none("lost: not in Kafka", expected.keys() - times.keys())
        findings.expect_none("in Kafka, and never committed", times.keys() - expected.keys())
        findings.expect_none(
            "in Kafka otherwise than stored",
            [
                each.event_id
                for each in records
                if (own := expected.get(each.event_id))
                and (each.key, each.sequence, each.digest) != (own.key, own.sequence, own.digest)
            ],
        )
        first: dict[str, dict[int, None]] = defaultdict(dict)
        for each in records:
            first[each.key].setdefault(each.sequence)
        findings.expect_none(
            "inverted in Kafka", [key for key, numbers in first.items() if list(numbers) != sorted(numbers)]
        )

    def _judge_sightings(self, findings: Findings, keys: Sequence[str], stored: dict[str, Stored]) -> None:
        rows = self.query(
            "SELECT event_id::text, key::text, sequence, payload FROM chaos.sighting "
            "WHERE key = ANY(%s::uuid[]) ORDER BY place",
            [list(keys)],
        )
        expected = {each.event_id: each for each in stored.values() if each.event_type not in COMMANDS}
        times = Counter(event_id for event_id, *_ in rows)
        findings.statuses = sum(each.declaration.transport is Transport.RABBITMQ for each in expected.values())
        findings.expect_none("lost: not seen by the consumer", expected.keys() - times.keys())
        findings.expect_none("seen, and never committed", times.keys() - expected.keys())
        findings.expect_none("seen more than once", [event_id for event_id, count in times.items() if count > 1])
        findings.expect_none(
            "seen otherwise than stored",
            [row[0] for row in rows if row[0] in expected and _digest(row[3]) != expected[row[0]].digest],
        )
        self._judge_inbox(findings, expected)
        order: dict[str, list[int]] = defaultdict(list)
        for event_id, key, sequence, _ in rows:
            if event_id in expected and expected[event_id].declaration.transport is Transport.KAFKA:
                order[key].append(sequence)
        findings.expect_none(
            "inverted for the consumer", [key for key, numbers in order.items() if numbers != sorted(numbers)]
        )

    def _judge_inbox(self, findings: Findings, expected: dict[str, Stored]) -> None:
        """The inbox has an entry for each event of the store that the group handles, as its read model has a row."""
        found = self.query(
            "SELECT event_id::text FROM events.inbox WHERE consumer = %s AND event_id = ANY(%s::uuid[])",
            [GROUP, list(expected)],
        )
        findings.expect_none("seen, and not in the inbox", expected.keys() - {event_id for (event_id,) in found})

    def _judge_commands(self, findings: Findings, stored: dict[str, Stored]) -> None:
        ids = [each.event_id for each in stored.values() if each.event_type in COMMANDS]
        findings.commands = len(ids)
        rows = self.query(
            "SELECT command_id::text, state, fence, attempts FROM events.command_execution "
            "WHERE command_id = ANY(%s::uuid[])",
            [ids],
        )
        executions = {command_id: (state, fence, attempts) for command_id, state, fence, attempts in rows}
        effects: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for command_id, fence, attempt in self.query(
            "SELECT command_id::text, fence, attempt FROM chaos.effect WHERE command_id = ANY(%s::uuid[])", [ids]
        ):
            effects[command_id].append((fence, attempt))
        findings.expect_none(
            "commands that are not done", [each for each in ids if executions.get(each, ("",))[0] != "done"]
        )
        findings.expect_none("commands with other than one effect", [each for each in ids if len(effects[each]) != 1])
        findings.expect_none(
            "effects under another fence than the one that finished",
            [each for each, own in effects.items() if each in executions and executions[each][1:] not in own],
        )


class _reader:  # noqa: N801 -- a context like contextlib.closing
    """A consumer in no group, in a healed network."""

    def __init__(self, servers: Servers) -> None:
        self._consumer: Any = KafkaConsumer(
            bootstrap_servers=[servers.urls()["KAFKA_BOOTSTRAP_SERVERS"]],
            api_version=(3, 9),
            enable_auto_commit=False,
            metrics_enabled=False,
        )

    def __enter__(self) -> Any:
        return self._consumer

    def __exit__(self, *_: object) -> None:
        self._consumer.close()


def _partitions(reader: Any) -> list[TopicPartition]:
    names = [topic.name for topic in TOPICS]
    return [TopicPartition(name, number) for name in names for number in reader.partitions_for_topic(name)]


def _record(record: Any) -> Record:
    envelope = from_kafka(list(record.headers), record.value)
    return Record(
        str(envelope.event_id), (record.key or b"").decode(), envelope.aggregate_seq, _digest(envelope.payload)
    )


def _digest(payload: bytes | memoryview) -> str:
    return hashlib.sha256(bytes(payload)).hexdigest()
