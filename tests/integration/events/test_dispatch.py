"""The outbox reaches RabbitMQ: commands as Celery tasks, status on its exchange, rows deleted only once confirmed."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from cloudevents.core.bindings.amqp import AMQPMessage, from_amqp
from cloudevents.core.formats.json import JSONFormat
from django.db import transaction
from kombu import Connection

from apps.core.context import message_context
from apps.events.brokers.rabbitmq.connection import TopologyMissing
from apps.events.brokers.rabbitmq.headers import envelope_from
from apps.events.brokers.rabbitmq.wake_ups import WakeUpSender
from apps.events.brokers.topology import rabbitmq as topology
from apps.events.models import OutboxRow, ProcessHeartbeat, StoredEvent
from apps.events.outbox.dispatcher.dispatcher import Dispatcher
from apps.events.process.leases import LeaseSet
from apps.events.store.publish import publish
from apps.events.store.selectors import envelope_of
from apps.messages.bots import BotStarted, StopBot, TickBot, TriggerTrade
from tests.support.dispatching import NOW, drain_outbox, fills_up, order
from tests.support.rabbitmq import RabbitMQ, rabbitmq_rows
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def announce(bot_id: UUID) -> UUID:
    with transaction.atomic():
        status = BotStarted(bot_id=bot_id, user_id=uuid4(), run_id=uuid4(), config_version=1, started_at=NOW)
        return publish(status, now=NOW)


def test_a_command_arrives_as_the_celery_task_of_its_name(drain: Any, rabbitmq: RabbitMQ) -> None:
    bot_id = uuid4()
    command_id = order(bot_id)

    drain()

    [message] = rabbitmq.take("bot.stop")
    args, kwargs, _ = json.loads(message.body)
    headers = message.properties["application_headers"]
    assert (headers["task"], headers["id"], headers["x-attempt"]) == ("bot.stop", str(command_id), 1)
    assert args == []
    assert StopBot.model_validate(kwargs).bot_id == bot_id
    assert message.properties["delivery_mode"] == 2
    assert message.properties["content_type"] == "application/json"


def test_a_status_message_is_a_cloudevent_that_carries_the_whole_envelope(drain: Any, rabbitmq: RabbitMQ) -> None:
    correlation, causation = uuid4(), uuid4()
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with message_context(correlation_id=correlation, causation_id=causation, traceparent=traceparent):
        event_id = announce(uuid4())

    drain()

    [message] = rabbitmq.take("bot.started")
    headers = message.properties["application_headers"]
    stored = envelope_of(StoredEvent.objects.get())
    assert envelope_from(headers, message.body.encode()) == stored
    assert (stored.correlation_id, stored.causation_id, stored.traceparent) == (correlation, causation, traceparent)
    assert headers["traceparent"] == traceparent
    event = from_amqp(AMQPMessage({"content-type": "application/json"}, headers, message.body.encode()), JSONFormat())
    assert (event.get_id(), event.get_type(), event.get_source()) == (str(event_id), "bot.started", stored.source)
    assert event.get_time() == NOW


def test_rows_of_a_key_leave_in_the_order_in_which_they_were_written(drain: Any, rabbitmq: RabbitMQ) -> None:
    bots = [uuid4() for _ in range(3)]
    expected: dict[UUID, list[UUID]] = {bot: [] for bot in bots}
    for _ in range(20):
        for bot in bots:
            expected[bot].append(order(bot))

    drain()

    arrived: dict[UUID, list[UUID]] = {bot: [] for bot in bots}
    for message in rabbitmq.take("bot.stop"):
        kwargs = json.loads(message.body)[1]
        arrived[UUID(kwargs["bot_id"])].append(UUID(kwargs["command_id"]))
    assert arrived == expected


def test_a_further_subscriber_gets_status_messages_as_well(drain: Any, rabbitmq: RabbitMQ) -> None:
    with Connection(rabbitmq.url) as opened:
        topology.declare(opened, more=topology.subscription("auditor.news", keys=["bot.#"]))
        try:
            announce(uuid4())
            drain()
            assert [len(rabbitmq.take(queue)) for queue in ("bot.started", "auditor.news")] == [1, 1]
        finally:
            with rabbitmq.channel() as channel:
                for queue in topology.subscription("auditor.news", keys=[]):
                    channel.queue_delete(queue.name)


def test_events_for_kafka_are_left_alone(drain: Any) -> None:
    from apps.messages.user import UserUpdated

    with transaction.atomic():
        publish(UserUpdated(user_id=uuid4(), changed=("name",)), now=NOW)
    running = Dispatcher(leases=LeaseSet("other", range(64), seconds=10))
    try:
        running.step()
    finally:
        running.close()
    assert OutboxRow.objects.filter(transport="kafka").count() == 1


def test_an_idle_dispatcher_says_that_rabbitmq_is_up(running: Dispatcher) -> None:
    running.step()

    assert ProcessHeartbeat.objects.get(name="rabbitmq").state == "up"


def test_a_full_queue_keeps_its_rows_and_delays_no_other(running: Dispatcher, rabbitmq: RabbitMQ) -> None:
    with rabbitmq.full("bot.stop"):
        eventually(lambda: fills_up(rabbitmq, "bot.stop"), what="a queue that refuses")
        kept = [order(uuid4()) for _ in range(5)]
        order(uuid4(), command=TriggerTrade)

        running.step()

        assert list(rabbitmq_rows().order_by("id").values_list("event_id", flat=True)) == kept
        assert set(rabbitmq_rows().values_list("attempts", "last_error")) == {(1, "The queue is full.")}
        assert rabbitmq.count("bot.trigger_trade") == 1
        running.step()
        assert ProcessHeartbeat.objects.get(name="dispatcher").detail == "bot.stop: The queue is full."

    rabbitmq.take("bot.stop")
    drain_outbox(running)
    arrived = [UUID(json.loads(message.body)[1]["command_id"]) for message in rabbitmq.take("bot.stop")]
    assert sorted(arrived) == sorted(kept)


def test_what_waits_for_a_full_queue_is_not_overtaken_by_the_same_key(running: Dispatcher, rabbitmq: RabbitMQ) -> None:
    bot = uuid4()
    with rabbitmq.full("bot.stop"):
        eventually(lambda: fills_up(rabbitmq, "bot.stop"), what="a queue that refuses")
        order(bot)
        order(bot, command=TriggerTrade)
        for _ in range(3):
            running.step()
        assert rabbitmq.count("bot.trigger_trade") == 0
        assert rabbitmq_rows().count() == 2
    rabbitmq.take("bot.stop")
    drain_outbox(running)
    assert [rabbitmq.count(queue) for queue in ("bot.stop", "bot.trigger_trade")] == [1, 1]


def test_a_message_that_no_queue_takes_stays_and_the_reason_says_what_to_do(
    running: Dispatcher, rabbitmq: RabbitMQ
) -> None:
    with rabbitmq.channel() as channel:
        channel.queue_unbind("bot.stop", topology.COMMANDS, "bot.stop")
    order(uuid4())

    running.step()

    assert rabbitmq_rows().get().last_error == "No queue takes it: run `manage.py declare_topology`."
    assert rabbitmq.count("bot.stop") == 0
    rabbitmq.declare()
    drain_outbox(running)
    assert rabbitmq.count("bot.stop") == 1


def test_a_missing_exchange_is_named_and_nothing_is_created_or_lost(running: Dispatcher, rabbitmq: RabbitMQ) -> None:
    with rabbitmq.channel() as channel:
        channel.exchange_delete(topology.STATUS)
    announce(uuid4())

    assert running.step() > 0

    beat = ProcessHeartbeat.objects.get(name="rabbitmq")
    assert beat.state == "down"
    assert "muckard.status" in beat.detail
    assert "declare_topology" in beat.detail
    assert topology.STATUS not in rabbitmq.names("exchanges")
    rabbitmq.declare()
    drain_outbox(running)
    assert rabbitmq.count("bot.started") == 1


def test_the_dispatcher_does_not_walk_past_what_it_has_sent(running: Dispatcher, drain: Any) -> None:
    order(uuid4())
    drain()
    for _ in range(3):
        running._chores_at = 0.0
        running.step()

    order(uuid4())
    assert rabbitmq_rows().get().pk == running._low_watermark.value + 2, "the journal's row lies between"
    drain()


def test_a_second_dispatcher_stands_by_and_takes_over_when_the_first_ends(rabbitmq: RabbitMQ) -> None:
    first, second = Dispatcher(), Dispatcher()
    first.step()
    order(uuid4())
    assert second.step() == second.standby_seconds
    assert rabbitmq_rows().count() == 1

    first.close()

    eventually(lambda: second.step() is not None and not rabbitmq_rows().exists(), what="a take-over")
    second.close()
    assert rabbitmq.count("bot.stop") == 1


def test_a_wake_up_arrives_as_a_task_that_is_soon_worthless(rabbitmq: RabbitMQ) -> None:
    sender = WakeUpSender()
    wake_up = TickBot(bot_id=uuid4(), run_id=uuid4(), due_at=NOW)

    sender.send(wake_up, expires_seconds=0.5)
    [message] = rabbitmq.take("bot.tick")
    assert message.properties["application_headers"]["task"] == "bot.tick"
    assert message.properties["application_headers"]["expires"] is not None
    assert json.loads(message.body)[1] == json.loads(wake_up.canonical_bytes())

    sender.send(wake_up, expires_seconds=0.1)
    eventually(lambda: rabbitmq.count("bot.tick") == 0, what="the wake-up message's end")
    sender.close()


def test_a_wake_up_without_a_queue_is_an_error_that_says_what_to_do(rabbitmq: RabbitMQ) -> None:
    with rabbitmq.channel() as channel:
        channel.queue_unbind("bot.tick", topology.COMMANDS, "bot.tick")
    sender = WakeUpSender()
    try:
        with pytest.raises(TopologyMissing, match="declare_topology"):
            sender.send(TickBot(bot_id=uuid4(), run_id=uuid4(), due_at=NOW), expires_seconds=5)
    finally:
        sender.close()
        rabbitmq.declare()
