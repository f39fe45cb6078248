"""An event that cannot be sent parks its own key and no other; a fault of all events stops the relay."""

from collections.abc import Iterator
from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from kafka.admin import ConfigResource, ConfigResourceType

from apps.events.brokers.kafka.admin import admin_client
from apps.events.models import Lease, OutboxRow, ParkedKey, StoredEvent
from apps.events.outbox import metrics
from apps.events.outbox.relay.relay import Relay
from apps.messages.base import slot_of
from tests.support.database_roles import as_role
from tests.support.kafka import everything_in, fill_outbox, outbox_count, sequences_by_key, topic_of_its_own
from tests.support.relaying import drain, drive

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def narrow_topic() -> Iterator[str]:
    """A topic whose broker takes no batch of more than 5,000 bytes."""
    with topic_of_its_own(partitions=1, max_message_bytes="5000") as name:
        yield name


def _send_all_but(count: int, topic: str, *, seconds: float = 30.0) -> None:
    relay = Relay()
    try:
        drive(
            relay,
            until=lambda: ParkedKey.objects.exists() and outbox_count(topic) == count and not relay._window,
            seconds=seconds,
        )
    finally:
        relay.close()


def test_a_record_that_the_broker_refuses_parks_its_key_and_nothing_of_it_gets_ahead(narrow_topic: str) -> None:
    """All keys share one partition, and most records were already with the producer when the broker refused one."""
    healthy, sick = [uuid4() for _ in range(4)], uuid4()
    fill_outbox(narrow_topic, [sick], 3)
    fill_outbox(narrow_topic, healthy, 40)
    fill_outbox(narrow_topic, [sick], 1, fill=9_000)
    fill_outbox(narrow_topic, [sick, *healthy], 50)

    _send_all_but(11, narrow_topic)

    found = sequences_by_key(everything_in(narrow_topic))
    assert found[str(sick)] == [1, 2, 3]
    assert [found[str(key)] for key in healthy] == [list(range(1, 21))] * 4
    parked = ParkedKey.objects.get()
    assert (parked.key, parked.event_type) == (sick, "user.updated")
    assert parked.event_id == StoredEvent.objects.get(aggregate_id=sick, aggregate_seq=4).event_id
    assert "too_large" in parked.reason


def test_later_events_of_a_parked_key_wait_and_a_release_sends_all_in_order(narrow_topic: str) -> None:
    sick = uuid4()
    fill_outbox(narrow_topic, [sick], 1, fill=9_000)
    _send_all_but(1, narrow_topic)
    fill_outbox(narrow_topic, [sick], 5)
    relay = Relay()
    try:
        for _ in range(20):
            relay.step()
        assert outbox_count(narrow_topic) == 6

        with admin_client() as admin:
            wider = ConfigResource(ConfigResourceType.TOPIC, narrow_topic, {"max.message.bytes": "100000"})
            admin.alter_configs([wider])
        output = StringIO()
        call_command("parked_keys", "release", str(sick), stdout=output)
        drive(relay, until=lambda: outbox_count(narrow_topic) == 0, seconds=20)
    finally:
        relay.close()

    assert "6 messages" in output.getvalue()
    assert sequences_by_key(everything_in(narrow_topic)) == {str(sick): [1, 2, 3, 4, 5, 6]}
    assert not ParkedKey.objects.filter(key=sick).exists()


def test_a_release_may_leave_the_poison_out_for_good(narrow_topic: str) -> None:
    sick = uuid4()
    fill_outbox(narrow_topic, [sick], 1, fill=9_000)
    fill_outbox(narrow_topic, [sick], 2)
    _send_all_but(3, narrow_topic)
    poison = StoredEvent.objects.get(aggregate_id=sick, aggregate_seq=1).event_id

    call_command("parked_keys", "release", str(sick), "--without", str(poison), stdout=StringIO())
    drain(narrow_topic)

    assert sequences_by_key(everything_in(narrow_topic)) == {str(sick): [2, 3]}
    assert StoredEvent.objects.filter(event_id=poison).exists()


def test_releasing_what_is_not_parked_is_an_error() -> None:
    with pytest.raises(CommandError, match="not parked"):
        call_command("parked_keys", "release", str(uuid4()))


def test_the_list_says_how_many_events_wait_behind_what(narrow_topic: str) -> None:
    sick = uuid4()
    fill_outbox(narrow_topic, [sick], 1, fill=9_000)
    _send_all_but(1, narrow_topic)
    fill_outbox(narrow_topic, [sick], 2)

    output = StringIO()
    call_command("parked_keys", "list", stdout=output)

    assert f"{sick}  3 messages for kafka wait" in output.getvalue()
    assert "1 keys are parked." in output.getvalue()


def test_a_payload_beyond_the_producer_s_own_limit_parks_its_key_alone(topic: str) -> None:
    sick, healthy = uuid4(), uuid4()
    fill_outbox(topic, [healthy, sick], 4)
    fill_outbox(topic, [sick], 1, fill=2_000_000)
    fill_outbox(topic, [healthy, sick], 6)

    _send_all_but(4, topic)

    found = sequences_by_key(everything_in(topic))
    assert found == {str(healthy): [1, 2, 3, 4, 5], str(sick): [1, 2]}
    assert ParkedKey.objects.get().key == sick


def test_a_topic_that_does_not_exist_parks_the_keys_of_its_few_events(topic: str) -> None:
    lost, healthy = uuid4(), uuid4()
    fill_outbox("test.no-such-topic", [lost], 2)
    fill_outbox(topic, [healthy], 10)

    _send_all_but(0, topic)

    assert len(everything_in(topic)) == 10
    assert ParkedKey.objects.get().key == lost
    assert outbox_count("test.no-such-topic") == 2


def test_an_event_that_the_store_does_not_have_parks_its_key(topic: str) -> None:
    sick, healthy = uuid4(), uuid4()
    fill_outbox(topic, [sick], 1)
    OutboxRow.objects.update(event_id=uuid4())
    fill_outbox(topic, [healthy], 3)

    _send_all_but(1, topic)

    assert ParkedKey.objects.get().reason.startswith("missing")
    assert sequences_by_key(everything_in(topic)) == {str(healthy): [1, 2, 3]}


def test_a_fault_of_all_events_stops_the_relay_and_parks_nothing(topic: str) -> None:
    """For example, the topology was never declared: parking every key would only hide that."""
    keys = [uuid4() for _ in range(30)]
    fill_outbox("test.not-declared", keys, 60)
    fill_outbox(topic, [uuid4()], 10)
    relay = Relay()
    try:
        pauses = [relay.step() for _ in range(2)]
        assert max(pauses) >= 1
        assert not ParkedKey.objects.exists()
        assert outbox_count("test.not-declared") == 60
        assert metrics.breaker_open.labels("kafka")._value.get() == 1
    finally:
        relay.close()


def test_the_relay_goes_on_by_itself_when_the_fault_of_all_events_is_gone() -> None:
    keys = [uuid4() for _ in range(30)]
    with topic_of_its_own() as name:
        with admin_client() as admin:
            admin.delete_topics([name])
        fill_outbox(name, keys, 60)
        relay = Relay()
        try:
            for _ in range(2):
                relay.step()
            assert outbox_count(name) == 60
            with admin_client() as admin:
                admin.create_topics({name: {"num_partitions": 3, "replication_factor": 1}}, wait_for_metadata=True)
            drive(relay, until=lambda: outbox_count(name) == 0, seconds=30)
        finally:
            relay.close()
        assert len(everything_in(name)) == 60
        assert not ParkedKey.objects.exists()


def test_rows_of_a_parked_key_leave_the_index_that_the_relay_reads(topic: str) -> None:
    sick = uuid4()
    fill_outbox("test.no-such-topic", [sick], 1)
    relay = Relay()
    try:
        drive(relay, until=ParkedKey.objects.exists, seconds=15)
        fill_outbox(topic, [sick], 50)
        drive(relay, until=lambda: _held_rows(sick) == 51, seconds=15)
    finally:
        relay.close()
    assert everything_in(topic) == []
    assert OutboxRow.objects.filter(slot=slot_of(sick)).count() == 51


def test_the_relay_s_own_role_may_do_all_of_this(topic: str) -> None:
    healthy, sick = uuid4(), uuid4()
    fill_outbox(topic, [healthy], 10)
    fill_outbox("test.no-such-topic", [sick], 1)
    with as_role("relay"):
        _send_all_but(0, topic)
        assert Lease.objects.filter(name__startswith="relay.kafka").count() == 64
    assert ParkedKey.objects.get().key == sick
    with as_role("staff_site"):
        call_command("parked_keys", "release", str(sick), stdout=StringIO())
    assert not ParkedKey.objects.exists()


def _held_rows(key: UUID) -> int:
    # Django cannot read an infinite time.
    return OutboxRow.objects.filter(key=key).extra(where=["next_attempt_at = 'infinity'"]).count()
