"""A message that can never be sent to RabbitMQ parks its key and no other; operators list and release the key."""

import json
from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.db import connection

from apps.events.models import ParkedKey, ProcessHeartbeat, StoredEvent
from apps.events.outbox.dispatcher.dispatcher import Dispatcher
from apps.events.process.circuit_breaker import MAX_CONSECUTIVE
from tests.support.dispatching import commands_in, drain_outbox, order
from tests.support.rabbitmq import RabbitMQ, rabbitmq_rows

pytestmark = pytest.mark.django_db(transaction=True)


def corrupt(event_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE events.event SET event_type = 'bot.unheard_of' WHERE event_id = %s", [event_id])
        cursor.execute("SET session_replication_role = origin")


def test_a_message_that_cannot_be_made_parks_its_key_and_no_other(running: Dispatcher, rabbitmq: RabbitMQ) -> None:
    bad, good = uuid4(), uuid4()
    corrupt(order(bad))
    order(bad)
    for _ in range(3):
        order(good)

    for _ in range(3):
        running.step()

    parked = ParkedKey.objects.get()
    assert (parked.transport, parked.key, parked.event_type) == ("rabbitmq", bad, "bot.unheard_of")
    assert rabbitmq.count("bot.stop") == 3
    assert list(rabbitmq_rows().values_list("key", flat=True)) == [bad, bad]

    # Once the cause is removed and the key is released, its messages are sent.
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE events.event SET event_type = 'bot.stop'")
        cursor.execute("SET session_replication_role = origin")
    call_command("parked_keys", "release", str(bad), stdout=StringIO())
    drain_outbox(running)
    assert rabbitmq.count("bot.stop") == 5


def test_operators_see_a_parked_key_of_the_dispatcher_and_may_leave_out_what_cannot_be_sent(
    running: Dispatcher, rabbitmq: RabbitMQ
) -> None:
    bot = uuid4()
    lost = order(bot)
    corrupt(lost)
    following = order(bot)
    running.step()

    out = StringIO()
    call_command("parked_keys", "list", stdout=out)
    assert f"{bot}  2 messages for rabbitmq wait since" in out.getvalue()
    assert f"behind bot.unheard_of {lost}: unreadable: UnknownMessage" in out.getvalue()

    arguments = [str(bot), "--without", str(lost), "--operator", "ada"]
    call_command("parked_keys", "release", *arguments, stdout=StringIO())
    told = json.loads(bytes(StoredEvent.objects.get(event_type="audit.parked_key.released").payload))
    assert (told["operator"], told["released_key"], told["without"]) == ("ada", str(bot), str(lost))
    assert (told["transports"], told["messages"]) == (["rabbitmq"], 1)
    drain_outbox(running)
    assert commands_in(rabbitmq, "bot.stop") == [following]
    assert StoredEvent.objects.filter(event_id=lost).exists()


def test_a_row_whose_event_is_not_in_the_store_parks_its_key_and_no_other(
    running: Dispatcher, rabbitmq: RabbitMQ
) -> None:
    lost, good = uuid4(), uuid4()
    order(lost)
    rabbitmq_rows().update(event_id=uuid4())
    order(good)

    running.step()

    assert ParkedKey.objects.get().key == lost
    assert "no such event" in ParkedKey.objects.get().reason
    assert rabbitmq.count("bot.stop") == 1


def test_where_most_cannot_be_made_nothing_is_parked_and_nothing_sent(running: Dispatcher, rabbitmq: RabbitMQ) -> None:
    for _ in range(MAX_CONSECUTIVE):
        corrupt(order(uuid4()))
    order(uuid4())

    assert running.step() > 0

    assert ParkedKey.objects.count() == 0
    assert rabbitmq.count("bot.stop") == 0
    assert rabbitmq_rows().count() == MAX_CONSECUTIVE + 1
    assert ProcessHeartbeat.objects.get(name="rabbitmq").state == "down"
