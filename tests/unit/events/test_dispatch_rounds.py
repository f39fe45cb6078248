"""A batch goes in rounds of one message a key, and a queue that refuses is paused longer each time."""

from datetime import UTC, datetime
from itertools import takewhile
from uuid import UUID, uuid4

import amqp
from hypothesis import given
from hypothesis import strategies as st

from apps.events.brokers.rabbitmq.messages import Outgoing
from apps.events.outbox.dispatcher.batch import Item, rounds, without_poison
from apps.events.outbox.dispatcher.query import Row
from apps.events.outbox.dispatcher.queue_backoff import QueueBackoff
from apps.events.outbox.parking import Poison
from apps.messages.envelope import Envelope

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = [UUID(int=number) for number in range(5)]


def item(number: int, key: UUID, *, is_faulty: bool = False) -> Item:
    envelope = Envelope(uuid4(), "bot.stop", 1, "bot", key, number, NOW, None, uuid4(), None, "", b"{}")
    row = Row(number, key, "bot.stop", envelope.event_id, envelope)
    if is_faulty:
        return Item(row, None, Poison(number, key, row.event_id, "bot.stop", "bot.stop", "unreadable", ""))
    return Item(row, Outgoing("", "", "", amqp.Message()))


@given(st.lists(st.sampled_from(KEYS), max_size=40))
def test_no_wave_has_a_key_twice_and_each_key_keeps_its_order(keys: list[UUID]) -> None:
    batch = [item(number, key) for number, key in enumerate(keys)]

    made = list(rounds(batch))

    assert all(len({each.row.key for each in each_round}) == len(each_round) for each_round in made)
    assert sorted(each.row.id for each_round in made for each in each_round) == list(range(len(keys)))
    for key in KEYS:
        numbers = [each.row.id for each_round in made for each in each_round if each.row.key == key]
        assert numbers == sorted(numbers)


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), max_size=40))
def test_of_each_key_what_comes_before_its_first_faulty_row_can_be_sent(drawn: list[tuple[UUID, bool]]) -> None:
    batch = [item(number, key, is_faulty=is_faulty) for number, (key, is_faulty) in enumerate(drawn)]

    left = list(without_poison(batch))

    for key in KEYS:
        own = [each for each in batch if each.row.key == key]
        expected = list(takewhile(lambda each: each.message is not None, own))
        assert [each for each in left if each.row.key == key] == expected


def test_keys_that_are_all_different_go_in_one_wave() -> None:
    batch = [item(number, uuid4()) for number in range(500)]

    assert list(rounds(batch)) == [batch]


def test_a_refusing_queue_rests_longer_each_time_up_to_a_limit() -> None:
    clock = [100.0]
    backoff = QueueBackoff(clock=lambda: clock[0])
    rests = []
    for _ in range(7):
        backoff.refused(["bot.stop"], "full")
        began = clock[0]
        while backoff.paused():
            clock[0] += 0.25
        rests.append(clock[0] - began)

    assert rests == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_a_queue_that_takes_messages_again_is_forgotten_but_not_while_it_rests() -> None:
    clock = [100.0]
    backoff = QueueBackoff(clock=lambda: clock[0])
    backoff.refused(["bot.stop"], "full")

    backoff.accepted(["bot.stop", "bot.start"])
    assert backoff.detail() == "bot.stop: full"

    clock[0] += 1
    backoff.accepted(["bot.stop"])
    assert (backoff.paused(), backoff.detail()) == ((), "")
