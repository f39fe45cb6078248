"""The dispatcher's next batch: urgent rows first, each key in order, and without reading the whole outbox."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from apps.events.outbox.dispatcher import query
from apps.events.outbox.dispatcher.dispatcher import Dispatcher
from apps.events.outbox.rows import FetchSpec
from apps.messages.bots import StopBot, TriggerTrade
from tests.support.dispatching import commands_in, order
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def every_slot(**more: Any) -> FetchSpec:
    return FetchSpec(frozenset((slot, 1) for slot in range(64)), **{"limit": 5, **more})


def test_what_is_urgent_does_not_wait_behind_a_flood_of_other_commands(
    running: Dispatcher, drain: Any, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_limit", 2)
    for _ in range(20):
        order(uuid4())
    urgent = order(uuid4(), command=TriggerTrade)

    running.step()

    assert commands_in(rabbitmq, "bot.trigger_trade") == [urgent]
    eventually(lambda: rabbitmq.count("bot.stop") == 1, what="one of the others, which go on")
    drain()
    assert rabbitmq.count("bot.stop") == 20


def test_what_is_urgent_overtakes_nothing_of_its_own_key() -> None:
    bot = uuid4()
    for _ in range(10):
        order(uuid4())
    stop, first, second = order(bot), order(bot, command=TriggerTrade), order(bot, command=TriggerTrade)
    other = order(uuid4(), command=TriggerTrade)

    assert query.next_rows(every_slot())[0].event_id == other
    assert not {stop, first, second} & {row.event_id for row in query.next_rows(every_slot())}
    of_bot = [row.event_id for row in query.next_rows(every_slot(limit=50)) if row.key == bot]
    assert of_bot == [stop, first, second]
    # While the stop is in flight, later rows of its key are not urgent.
    in_flight = tuple(row.id for row in query.next_rows(every_slot(limit=50)) if row.event_id == stop)
    rest = query.next_rows(every_slot(limit=50, in_flight=in_flight))
    assert [row.event_id for row in rest].index(first) > 10


def test_a_flood_of_urgent_commands_leaves_room_for_the_others() -> None:
    ordinary = order(uuid4())
    for _ in range(20):
        order(uuid4(), command=TriggerTrade)

    batch = query.next_rows(every_slot(limit=6))

    assert len(batch) == len({row.id for row in batch}) == 6
    assert [row.destination for row in batch][:3] == ["bot.trigger_trade"] * 3
    assert batch[3].event_id == ordinary


def test_a_long_backlog_is_read_from_its_indexes_and_never_whole() -> None:
    for number in range(300):
        order(uuid4(), command=TriggerTrade if number == 150 else StopBot)
    query.next_rows(every_slot())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE events.outbox")

    for paused in ((), ("bot.start",)):
        wanted = every_slot(paused=paused)
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {query.query_of(wanted)}", query.values_of(wanted))
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "Index Scan using outbox_rabbitmq on outbox" in plan
        assert "Index Scan using outbox_rabbitmq_queue on outbox" in plan
        assert "using outbox_rabbitmq_key on outbox first" in plan
        assert "Seq Scan" not in plan
