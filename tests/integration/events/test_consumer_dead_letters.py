"""Dead letters of the consumers are redriven in order, purged for good, and both are told to the audit log."""

import json
from datetime import timedelta
from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from apps.events.consumers import registry
from apps.events.consumers.dead_letters import DeadLetter, Filters, store
from apps.events.consumers.delivery import deliver
from apps.events.consumers.inbound import InboundRecord
from apps.events.models import DeadLetter as Row
from apps.events.models import StoredEvent
from tests.support.consumers import Listener
from tests.support.database_roles import as_role
from tests.support.kafka import Arrived, everything_in, fill_outbox
from tests.support.rabbitmq import RabbitMQ
from tests.support.relaying import drain

pytestmark = pytest.mark.django_db(transaction=True)

NO_FILTERS = Filters()


def _arrivals(topic: str, keys: list[UUID], events: int) -> list[InboundRecord]:
    fill_outbox(topic, keys, events)
    drain(topic)
    return [_arrival(topic, record) for record in everything_in(topic)]


def _arrival(topic: str, record: Arrived) -> InboundRecord:
    envelope = record.envelope
    return InboundRecord(
        topic, record.partition, record.offset, envelope.aggregate_id,
        envelope.event_id, envelope.event_type, envelope, "", record,
    )  # fmt: skip


def _set_aside(listener: Listener, topic: str, key: UUID, events: int, *, error: str = "ValueError: it failed") -> None:
    """One event that failed and the others behind it."""
    first, *behind = _arrivals(topic, [key], events)
    store.dead_letter(listener.group, first, error=error, attempts=3, now=timezone.now())
    for arrival in behind:
        assert store.dead_letter_behind(listener.group, arrival, now=timezone.now())


def _redrive(listener: Listener, filters: Filters = NO_FILTERS, *, dry_run: bool = False) -> tuple[int, int, int]:
    outcome = store.redrive(
        f"consumer:{listener.group}", filters, rate=None, dry_run=dry_run, operator="ada", progress=_ignore
    )
    return outcome.redriven, outcome.failed, outcome.left


def _ignore(letter: DeadLetter, what: str) -> None: ...


def _waiting(listener: Listener) -> int:
    return Row.objects.filter(consumer=listener.group, redriven_at=None).count()


def test_a_redrive_handles_a_key_s_events_in_their_order_and_frees_the_key(topic: str, listener: Listener) -> None:
    key = uuid4()
    _set_aside(listener, topic, key, 5)

    assert _redrive(listener) == (5, 0, 0)

    assert listener.effects(key) == [1, 2, 3, 4, 5]
    assert _waiting(listener) == 0
    assert store.blocked_keys(listener.group, [key]) == set()


def test_a_redrive_stops_at_the_first_of_a_key_that_fails_again_and_goes_on_with_other_keys(
    topic: str, listener: Listener
) -> None:
    sick, healed = uuid4(), uuid4()
    for arrival in _arrivals(topic, [sick, healed], 8):
        if not store.dead_letter_behind(listener.group, arrival, now=timezone.now()):
            store.dead_letter(listener.group, arrival, error="failed", attempts=3, now=timezone.now())
    listener.fails = lambda envelope: (
        ValueError("still no") if (envelope.aggregate_id, envelope.aggregate_seq) == (sick, 2) else None
    )

    assert _redrive(listener) == (5, 1, 2)

    assert listener.effects(healed) == [1, 2, 3, 4]
    assert listener.effects(sick) == [1]
    failed = Row.objects.filter(key=sick, redriven_at=None).order_by("id").first()
    assert failed is not None
    assert (failed.reason, failed.attempts, failed.error) == ("failed", 1, "ValueError: still no")


def test_a_redrive_has_no_effect_a_second_time(topic: str, listener: Listener) -> None:
    key = uuid4()
    _set_aside(listener, topic, key, 3)
    for record in everything_in(topic):  # handled meanwhile, by whatever way
        deliver(record.envelope, group=listener.group)

    assert _redrive(listener) == (3, 0, 0)

    assert listener.effects(key) == [1, 2, 3]
    assert _redrive(listener) == (0, 0, 0)


def test_a_filter_brings_along_what_is_older_of_the_same_key(topic: str, listener: Listener) -> None:
    """A later event alone would get ahead of the failed one."""
    key = uuid4()
    _set_aside(listener, topic, key, 4)
    third = Row.objects.order_by("id")[2]
    third.created_at += timedelta(hours=1)
    third.save()

    filters = Filters(since=third.created_at, until=third.created_at + timedelta(minutes=1))
    assert _redrive(listener, filters) == (3, 0, 0)

    assert listener.effects(key) == [1, 2, 3]
    assert store.blocked_keys(listener.group, [key]) == {key}


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (Filters(error="it FAILED"), 1),
        (Filters(error="something else"), 0),
        (Filters(event_type="user.updated"), 3),
        (Filters(event_type="user.created"), 0),
        (Filters(limit=2), 2),
        (Filters(key=uuid4()), 0),
    ],
)
def test_filters_choose_letters(topic: str, listener: Listener, filters: Filters, count: int) -> None:
    _set_aside(listener, topic, uuid4(), 3)

    assert len(list(store.find(f"consumer:{listener.group}", filters))) == count


def test_a_dry_run_changes_nothing(topic: str, listener: Listener) -> None:
    key = uuid4()
    _set_aside(listener, topic, key, 3)
    events = StoredEvent.objects.count()

    assert _redrive(listener, dry_run=True) == (3, 0, 0)

    assert listener.effects(key) == []
    assert _waiting(listener) == 3
    assert StoredEvent.objects.count() == events


def test_a_redrive_is_an_event(topic: str, listener: Listener) -> None:
    _set_aside(listener, topic, uuid4(), 2)

    _redrive(listener, Filters(event_type="user.updated"))

    message = _announced("audit.dead_letters.redriven")
    assert message["operator"] == "ada"
    assert message["queue"] == f"consumer:{listener.group}"
    assert message["messages"] == 2
    assert message["filters"] == {"event_type": "user.updated"}


def test_a_group_without_its_handler_here_keeps_its_letters(topic: str, listener: Listener) -> None:
    """A redrive from the wrong service must not tick off what it cannot handle."""
    key = uuid4()
    _set_aside(listener, topic, key, 2)
    taken = registry._registered.pop(listener.group)
    try:
        assert _redrive(listener) == (0, 1, 1)
    finally:
        registry._registered[listener.group] = taken

    assert _waiting(listener) == 2


def test_an_event_that_comes_while_its_key_is_redriven_neither_overtakes_nor_stays_behind(
    topic: str, listener: Listener
) -> None:
    key = uuid4()
    *aside, last = _arrivals(topic, [key], 3)
    store.dead_letter(listener.group, aside[0], error="failed", attempts=3, now=timezone.now())
    assert store.dead_letter_behind(listener.group, aside[1], now=timezone.now())
    _redrive(listener)

    # The consumer had looked before the redrive ended, and still takes the key for blocked.
    assert store.dead_letter_behind(listener.group, last, now=timezone.now()) is False


def test_what_comes_behind_a_key_in_the_middle_of_its_redrive_is_redriven_with_it(
    topic: str, listener: Listener
) -> None:
    key = uuid4()
    first, second, *late = _arrivals(topic, [key], 4)
    store.dead_letter(listener.group, first, error="failed", attempts=3, now=timezone.now())
    assert store.dead_letter_behind(listener.group, second, now=timezone.now())

    def meanwhile(_: DeadLetter, __: str) -> None:
        """The consumer goes on while the redrive does."""
        if late and store.dead_letter_behind(listener.group, late[0], now=timezone.now()):
            late.pop(0)

    outcome = store.redrive(
        f"consumer:{listener.group}", NO_FILTERS, rate=None, dry_run=False, operator="ada", progress=meanwhile
    )

    assert listener.effects(key)[:3] == [1, 2, 3]
    assert outcome.redriven == len(listener.effects(key))
    assert _waiting(listener) == 0, "nothing waits behind what is handled"


def test_purged_events_are_never_handled_and_the_purge_is_an_event(topic: str, listener: Listener) -> None:
    key = uuid4()
    _set_aside(listener, topic, key, 2)
    source = f"consumer:{listener.group}"

    assert store.purge(source, Filters(), dry_run=True, operator="ada") == 2
    assert _waiting(listener) == 2
    assert store.purge(source, Filters(), dry_run=False, operator="ada") == 2

    assert _waiting(listener) == 0
    assert [deliver(record.envelope, group=listener.group) for record in everything_in(topic)] == [False, False]
    assert listener.effects(key) == []
    assert _announced("audit.dead_letters.purged")["messages"] == 2


def test_the_command_lists_shows_and_redrives(topic: str, listener: Listener, rabbitmq: RabbitMQ) -> None:
    key = uuid4()
    _set_aside(listener, topic, key, 2)
    source = f"consumer:{listener.group}"
    letter = Row.objects.order_by("id").first()
    assert letter is not None

    assert f"      2  {source}" in _command("list")
    assert f"2 dead letters in {source}." in _command("list", source)
    assert '"sequence": "00000000000000000001"' in _command("show", source, str(letter.pk))
    assert "2 would be redriven" in _command("redrive", source, "--key", str(key), "--dry-run")
    assert "2 redriven, 0 failed again, 0 left." in _command("redrive", source, "--key", str(key), "--rate", "100")
    assert listener.effects(key) == [1, 2]


def test_the_command_names_the_sources_there_are_where_one_is_unknown(listener: Listener, rabbitmq: RabbitMQ) -> None:
    with pytest.raises(CommandError, match=f"There is no source nonsense.*consumer:{listener.group}"):
        _command("list", "nonsense")


def test_the_services_own_roles_may_set_aside_redrive_and_purge(topic: str, listener: Listener) -> None:
    key = uuid4()
    arrivals = _arrivals(topic, [key], 4)
    with connection.cursor() as cursor:
        cursor.execute("GRANT ALL ON events.seen, events.seen_id_seq TO kraken_service, staff_site")
    with as_role("kraken_service"):
        assert deliver(arrivals[0].envelope, group=listener.group)  # type: ignore[arg-type]
        store.dead_letter(listener.group, arrivals[1], error="failed", attempts=3, now=timezone.now())
        assert store.dead_letter_behind(listener.group, arrivals[2], now=timezone.now())
        assert store.dead_letter_behind(listener.group, arrivals[3], now=timezone.now())
    with as_role("staff_site"):
        assert _redrive(listener, Filters(limit=2)) == (2, 0, 0)
        source = f"consumer:{listener.group}"
        assert store.purge(source, NO_FILTERS, dry_run=False, operator="ada") == 1

    assert listener.effects(key) == [1, 2, 3]


def test_a_letter_that_is_not_there_is_an_error(listener: Listener) -> None:
    with pytest.raises(CommandError, match="has no dead letter 4711"):
        _command("show", f"consumer:{listener.group}", "4711")


def _command(*arguments: str) -> str:
    output = StringIO()
    call_command("dead_letters", *arguments, stdout=output)
    return output.getvalue()


def _announced(event_type: str) -> dict[str, object]:
    content: dict[str, object] = json.loads(bytes(StoredEvent.objects.get(event_type=event_type).payload))
    return content
