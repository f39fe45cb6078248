"""A batch is sent while the one before it is confirmed and the next one is read: complete, in order and once."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.utils import timezone

from apps.events.models import Lease
from apps.events.outbox.dispatcher import in_flight
from apps.events.outbox.dispatcher.dispatcher import Dispatcher
from apps.messages.bots import TriggerTrade
from tests.support.dispatching import commands_in, drain_outbox, fills_up, order
from tests.support.rabbitmq import RabbitMQ, rabbitmq_rows
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def small_batches(rabbitmq: RabbitMQ) -> Iterator[Dispatcher]:
    """Two rows a batch, so that the next batch is fetched while one is sent."""
    made = Dispatcher(batch_rows=2)
    yield made
    made.close()


def test_a_backlog_of_one_key_leaves_in_order_and_once(small_batches: Dispatcher, rabbitmq: RabbitMQ) -> None:
    bot = uuid4()
    ordered = [order(bot) for _ in range(9)]

    drain_outbox(small_batches)

    assert commands_in(rabbitmq, "bot.stop") == ordered


def test_a_backlog_of_many_keys_leaves_in_order_and_once(small_batches: Dispatcher, rabbitmq: RabbitMQ) -> None:
    """With three keys in batches of two, each batch has a key that is still in flight."""
    bots = [uuid4() for _ in range(3)]
    ordered = [order(bots[number % 3]) for number in range(31)]

    drain_outbox(small_batches)

    arrived = commands_in(rabbitmq, "bot.stop")
    assert sorted(arrived) == sorted(ordered)
    for number in range(3):
        assert [each for each in arrived if each in ordered[number::3]] == ordered[number::3]


def test_the_next_batch_is_sent_while_the_last_one_is_under_way(
    small_batches: Dispatcher, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = small_batches._publisher
    publisher._window.size = 8
    ordered = [order(uuid4()) for _ in range(4)]
    answers: list[Any] = []
    with monkeypatch.context() as slow:
        slow.setattr(publisher, "_answer", lambda *answer: answers.append(answer))
        small_batches.step()
        small_batches.step()
        eventually(lambda: rabbitmq.count("bot.stop") == 4, what="two batches in the queue")
        assert rabbitmq_rows().count() == 4
    for answer in answers:
        publisher._answer(*answer)

    drain_outbox(small_batches)

    assert commands_in(rabbitmq, "bot.stop") == ordered


def test_what_was_fetched_ahead_waits_where_its_key_was_refused(small_batches: Dispatcher, rabbitmq: RabbitMQ) -> None:
    bot = uuid4()
    with rabbitmq.full("bot.stop"):
        eventually(lambda: fills_up(rabbitmq, "bot.stop"), what="a queue that refuses")
        order(bot)
        order(uuid4(), command=TriggerTrade)
        order(bot, command=TriggerTrade)
        order(uuid4(), command=TriggerTrade)
        for _ in range(3):
            small_batches.step()
        assert rabbitmq.count("bot.trigger_trade") == 2
        assert set(rabbitmq_rows().values_list("key", flat=True)) == {bot}


def test_what_was_confirmed_while_postgresql_was_away_is_deleted_later_and_not_sent_again(
    small_batches: Dispatcher, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = uuid4()
    ordered = [order(bot) for _ in range(5)]

    def lost(_: object) -> None:
        raise OperationalError("the connection was lost")

    with monkeypatch.context() as outage:
        outage.setattr(in_flight, "delete_rows", lost)
        for _ in range(2):
            with pytest.raises(OperationalError):
                small_batches.step()
    drain_outbox(small_batches)

    assert commands_in(rabbitmq, "bot.stop") == ordered


def test_a_dispatcher_that_ends_leaves_nothing_that_it_has_sent(small_batches: Dispatcher, rabbitmq: RabbitMQ) -> None:
    ordered = [order(uuid4()) for _ in range(6)]
    small_batches.step()

    small_batches.close()

    left = list(rabbitmq_rows().order_by("id").values_list("event_id", flat=True))
    assert commands_in(rabbitmq, "bot.stop") + left == ordered
    assert len(left) == 4


def test_a_lease_that_was_lost_and_taken_again_ends_what_is_in_flight(
    small_batches: Dispatcher, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have sent the same rows in between: the fencing token has grown."""
    publisher = small_batches._publisher
    publisher._window.size = 8
    ordered = [order(uuid4()) for _ in range(2)]
    with monkeypatch.context() as silent:
        silent.setattr(publisher, "_answer", lambda *_: None)
        small_batches.step()
        before = list(small_batches._in_flight.row_ids)
        Lease.objects.update(expires_at=timezone.now())
        silent.setattr(small_batches._leases, "_taken_at", float("-inf"))

        assert small_batches._keep_leases()

        assert (len(before), len(small_batches._in_flight.row_ids)) == (2, 0)
    drain_outbox(small_batches)
    assert set(commands_in(rabbitmq, "bot.stop")) == set(ordered)
