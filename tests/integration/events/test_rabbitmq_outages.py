"""RabbitMQ refused, silent, cut off and slow: every wait ends, nothing is lost, and work goes on when it is back."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable
from apps.events.brokers.rabbitmq.wake_ups import WakeUpSender
from apps.events.commands.retry_router.router import RetryRouter
from apps.events.consumers import registry
from apps.events.consumers.rabbitmq import StatusConsumer
from apps.events.consumers.registry import consumes
from apps.events.models import Lease, ProcessHeartbeat
from apps.events.outbox.dispatcher.dispatcher import Dispatcher
from apps.events.process import heartbeats
from apps.events.process.backoff import Backoff
from apps.events.store.publish import dispatch, publish
from apps.messages.bots import BotStarted, StopBot, TickBot
from apps.messages.envelope import Envelope
from tests.chaos.network import Link
from tests.support.dispatching import drain_outbox
from tests.support.rabbitmq import RabbitMQ, rabbitmq_rows
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

# Connecting, and each read or write, has its own limit; a step may meet several.
LONGEST_STEP_SECONDS = 15.0

drain = partial(drain_outbox, seconds=30)


@pytest.fixture
def link(rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    """The way to RabbitMQ, for everything that reads the settings."""
    parts = urlsplit(rabbitmq.url)
    with Link(parts.port or 5672) as made:
        netloc = f"{parts.netloc.rpartition(':')[0]}:{made.port}"
        url = parts._replace(netloc=netloc).geturl()
        monkeypatch.setattr(settings, "ENVIRONMENT", settings.ENVIRONMENT.model_copy(update={"rabbitmq_url": url}))
        heartbeats._written.clear()
        yield made


@pytest.fixture
def dispatcher(link: Link) -> Iterator[Dispatcher]:
    made = Dispatcher(backoff=Backoff(max_seconds=0.5))
    yield made
    made.close()


def order(bots: list[UUID], count: int) -> list[UUID]:
    ordered = []
    with transaction.atomic():
        for number in range(count):
            command = StopBot(
                command_id=uuid4(),
                bot_id=bots[number % len(bots)],
                user_id=uuid4(),
                requested_at=NOW,
                expires_at=NOW + timedelta(days=3650),
            )
            ordered.append(dispatch(command, now=NOW))
    return ordered


def arrived(rabbitmq: RabbitMQ) -> list[tuple[UUID, UUID]]:
    """(bot, command) of every message, in the order of the queue."""
    bodies = [json.loads(message.body)[1] for message in rabbitmq.take("bot.stop", at_most=50_000)]
    return [(UUID(body["bot_id"]), UUID(body["command_id"])) for body in bodies]


def assert_all_once_in_order(found: list[tuple[UUID, UUID]], ordered: list[UUID], *, twice_at_most: int) -> None:
    firsts: dict[UUID, UUID] = {}
    for bot, command in found:
        firsts.setdefault(command, bot)
    assert set(firsts) == set(ordered)
    assert len(found) - len(ordered) <= twice_at_most
    place = {command: number for number, command in enumerate(ordered)}
    for bot in set(firsts.values()):
        places = [place[command] for command, whose in firsts.items() if whose == bot]
        assert places == sorted(places), "a command overtook an earlier one of its bot"


def timed(step: Callable[[], Any]) -> float:
    began = time.monotonic()
    step()
    return time.monotonic() - began


def test_a_refused_broker_is_reported_and_its_return_is_noticed(
    dispatcher: Dispatcher, link: Link, rabbitmq: RabbitMQ
) -> None:
    link.refuse()
    ordered = order([uuid4()], 20)

    assert timed(dispatcher.step) < 5

    beat = ProcessHeartbeat.objects.get(name="rabbitmq")
    assert (beat.state, beat.detail) == ("down", "RabbitMQ refuses connections.")
    assert rabbitmq_rows().count() == 20
    link.heal()
    drain(dispatcher)
    assert_all_once_in_order(arrived(rabbitmq), ordered, twice_at_most=0)
    dispatcher.step()
    assert ProcessHeartbeat.objects.get(name="rabbitmq").state == "up"


def test_a_broker_that_is_silent_from_the_start_holds_no_step_for_long(
    dispatcher: Dispatcher, link: Link, rabbitmq: RabbitMQ
) -> None:
    link.silence()
    ordered = order([uuid4()], 20)

    assert timed(dispatcher.step) < LONGEST_STEP_SECONDS

    assert "silent" in ProcessHeartbeat.objects.get(name="rabbitmq").detail
    link.heal()
    drain(dispatcher)
    assert_all_once_in_order(arrived(rabbitmq), ordered, twice_at_most=0)


def test_a_broker_that_falls_silent_under_way_gets_at_most_a_batch_twice(
    dispatcher: Dispatcher, link: Link, rabbitmq: RabbitMQ
) -> None:
    bots = [uuid4() for _ in range(100)]
    ordered = order(bots, 200)
    drain(dispatcher)
    link.silence()
    ordered += order(bots, 300)

    assert timed(dispatcher.step) < LONGEST_STEP_SECONDS

    assert rabbitmq_rows().count() == 300
    link.heal()
    drain(dispatcher)
    batch = settings.ENVIRONMENT.relay_batch_rows
    assert_all_once_in_order(arrived(rabbitmq), ordered, twice_at_most=batch)


def test_a_connection_cut_again_and_again_loses_and_reorders_nothing(
    dispatcher: Dispatcher, link: Link, rabbitmq: RabbitMQ
) -> None:
    bots = [uuid4() for _ in range(50)]
    ordered = order(bots, 1500)
    is_over = threading.Event()

    def cut() -> None:
        while not is_over.wait(0.1):
            link.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        time.sleep(0.2)
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline and rabbitmq_rows().exists():
            dispatcher.step()
    finally:
        is_over.set()
        cutter.join()
    drain(dispatcher, seconds=60)

    found = arrived(rabbitmq)
    # What was under way at a cut may come twice, and the window shrinks with each.
    assert_all_once_in_order(found, ordered, twice_at_most=settings.ENVIRONMENT.relay_batch_rows)


def test_a_dispatcher_whose_leases_are_over_sends_nothing_that_is_under_way_any_more(
    dispatcher: Dispatcher, link: Link, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "_limit", 10)
    bots = [uuid4() for _ in range(40)]
    ordered = order(bots, 200)
    drain(dispatcher)
    link.silence()
    ordered += order(bots, 60)
    dispatcher.step()
    assert dispatcher._in_flight.row_ids
    Lease.objects.update(owner="somebody else")
    monkeypatch.setattr(dispatcher._leases, "_taken_at", float("-inf"))

    assert dispatcher.step() == dispatcher.standby_seconds

    assert not dispatcher._in_flight.row_ids
    link.heal()
    Lease.objects.update(expires_at=timezone.now())
    drain(dispatcher)
    assert_all_once_in_order(arrived(rabbitmq), ordered, twice_at_most=10)


def test_a_slow_network_delays_and_repeats_little(dispatcher: Dispatcher, link: Link, rabbitmq: RabbitMQ) -> None:
    ordered = order([uuid4() for _ in range(60)], 60)
    link.slow(15_000)

    drain(dispatcher, seconds=90)

    link.heal()
    assert_all_once_in_order(arrived(rabbitmq), ordered, twice_at_most=60)


def test_the_scheduler_never_waits_long_for_a_silent_broker(link: Link, rabbitmq: RabbitMQ) -> None:
    sender = WakeUpSender()
    wake_up = TickBot(bot_id=uuid4(), run_id=uuid4(), due_at=NOW)
    sender.send(wake_up, expires_seconds=30)
    link.silence()

    def send() -> None:
        with pytest.raises(BrokerUnavailable):
            sender.send(wake_up, expires_seconds=30)

    assert timed(send) < LONGEST_STEP_SECONDS
    assert timed(send) < LONGEST_STEP_SECONDS
    link.heal()
    sender.send(wake_up, expires_seconds=30)
    sender.close()


def test_an_idle_dispatcher_notices_a_broker_that_has_fallen_silent(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.events.brokers.rabbitmq.connection.HEARTBEAT_SECONDS", 1)
    idle = Dispatcher()
    try:
        idle.step()
        assert ProcessHeartbeat.objects.get(name="rabbitmq").state == "up"
        link.silence()
        eventually(
            lambda: idle.step() is not None and ProcessHeartbeat.objects.get(name="rabbitmq").state == "down",
            what="the news of it",
        )
        link.heal()
        eventually(
            lambda: idle.step() is not None and ProcessHeartbeat.objects.get(name="rabbitmq").state == "up",
            what="the news of its return",
        )
    finally:
        idle.close()


def test_a_router_that_loses_its_broker_goes_on_where_it_was(
    link: Link, dispatcher: Dispatcher, rabbitmq: RabbitMQ
) -> None:
    ordered = order([uuid4() for _ in range(40)], 40)
    drain(dispatcher)
    with rabbitmq.channel() as channel:
        for _ in ordered:
            message = eventually(lambda: channel.basic_get("bot.stop"))
            channel.basic_reject(message.delivery_tag, requeue=False)
    router = RetryRouter()
    router.step()
    link.silence()
    assert timed(router.step) < LONGEST_STEP_SECONDS
    link.heal()

    eventually(lambda: router.step() is not None and rabbitmq.count("bot.stop") >= 40, seconds=30)
    router.close()

    found = {command for _, command in arrived(rabbitmq)}
    assert found == set(ordered)


def test_a_status_consumer_that_loses_its_broker_handles_each_message_once(
    link: Link, dispatcher: Dispatcher, rabbitmq: RabbitMQ
) -> None:
    seen: list[UUID] = []
    before = dict(registry._registered)
    registry._registered.clear()

    def handle(message: BotStarted, envelope: Envelope) -> None:
        seen.append(message.bot_id)

    consumes(BotStarted, group="test.readers")(handle)
    bots = [uuid4() for _ in range(60)]
    with transaction.atomic():
        for bot in bots:
            publish(BotStarted(bot_id=bot, user_id=uuid4(), run_id=uuid4(), config_version=1, started_at=NOW), now=NOW)
    drain(dispatcher)
    consumer = StatusConsumer()
    try:
        while len(seen) < len(bots):
            consumer.step()
            if len(seen) % 15 == 0:
                link.cut()
        eventually(lambda: consumer.step() is not None and rabbitmq.count("bot.started") == 0)
        for _ in range(3):
            consumer.step()
    finally:
        consumer.close()
        registry._registered.clear()
        registry._registered.update(before)

    assert seen == bots
