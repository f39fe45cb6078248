"""Failed messages reach their next attempt or their dead letters; a router that is killed loses none of them."""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import amqp
import pytest
from django.db import OperationalError
from kombu import Connection

from apps.events.brokers.rabbitmq.headers import headers_of
from apps.events.brokers.rabbitmq.messages import Outgoing, outgoing_of
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher, Verdict
from apps.events.brokers.topology import rabbitmq as topology
from apps.events.commands.retry_router.router import RetryRouter
from apps.events.models import CommandExecution, ProcessHeartbeat
from apps.events.process import heartbeats
from apps.messages.bots import BotError, BotStarted, StopBot
from tests.support.envelopes import envelope_of
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import eventually
from tests.support.workers.processes import Processes

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def router(rabbitmq: RabbitMQ) -> Iterator[RetryRouter]:
    heartbeats._written.clear()
    made = RetryRouter(clock=lambda: NOW)
    yield made
    made.close()


@pytest.fixture
def route(router: RetryRouter) -> Callable[[Callable[[], Any]], None]:
    """Lets the router work until something is so."""

    def until(condition: Callable[[], Any], *, seconds: float = 20) -> None:
        eventually(lambda: router.step() is not None and condition(), seconds=seconds)

    return until


def started() -> BotStarted:
    return BotStarted(bot_id=uuid4(), user_id=uuid4(), run_id=uuid4(), config_version=1, started_at=NOW)


def stop_bot() -> StopBot:
    return StopBot(command_id=uuid4(), bot_id=uuid4(), user_id=uuid4(), requested_at=NOW, expires_at=NOW)


def send(*messages: Any) -> None:
    deliver(outgoing_of(envelope_of(each, each.command_id if isinstance(each, StopBot) else None)) for each in messages)


def deliver(outgoing: Any) -> None:
    publisher = ConfirmedPublisher("test")
    outcome = publisher.publish(list(outgoing))
    publisher.close()
    assert set(outcome.verdicts) == {Verdict.CONFIRMED}, outcome.error


def reject_one(rabbitmq: RabbitMQ, queue: str) -> Any:
    """As a consumer does that failed. Returns the headers of what it got."""
    with rabbitmq.channel() as channel:
        message = eventually(lambda: channel.basic_get(queue), what=f"a message in {queue}")
        channel.basic_reject(message.delivery_tag, requeue=False)
    return message.properties["application_headers"]


def test_a_retry_reaches_the_queue_that_failed_and_no_other_subscriber(route: Any, rabbitmq: RabbitMQ) -> None:
    with Connection(rabbitmq.url) as opened:
        topology.declare(opened, more=topology.subscription("auditor.news", keys=["bot.#"]))
    send(started())
    try:
        assert reject_one(rabbitmq, "auditor.news")["x-attempt"] == 1
        route(lambda: rabbitmq.count("auditor.news") == 1)
        assert rabbitmq.count("bot.started") == 1
        [message] = rabbitmq.take("auditor.news")
        assert message.properties["application_headers"]["x-attempt"] == 2
    finally:
        with rabbitmq.channel() as channel:
            for queue in topology.subscription("auditor.news", keys=[]):
                channel.queue_delete(queue.name)


def test_a_status_message_has_exactly_five_attempts(route: Any, rabbitmq: RabbitMQ) -> None:
    send(started())

    attempts = []
    for _ in range(5):
        route(lambda: rabbitmq.count("bot.started") == 1)
        attempts.append(reject_one(rabbitmq, "bot.started")["x-attempt"])
    route(lambda: rabbitmq.count("bot.started.dlq") == 1)

    assert attempts == [1, 2, 3, 4, 5]
    [dead] = rabbitmq.take("bot.started.dlq")
    headers = dead.properties["application_headers"]
    assert headers["x-dead-reason"] == "failed 5 times"
    assert headers["x-dead-at"] == NOW.isoformat(timespec="microseconds")
    assert [name for name in headers if name.startswith(("x-death", "x-first-death", "x-last-death"))] == []


def test_what_was_published_keeps_its_body_and_properties_through_a_retry(route: Any, rabbitmq: RabbitMQ) -> None:
    message = started()
    send(message)
    before = reject_one(rabbitmq, "bot.started")
    route(lambda: rabbitmq.count("bot.started") == 1)

    [again] = rabbitmq.take("bot.started")
    assert again.body.encode() == message.canonical_bytes()
    assert again.properties["delivery_mode"] == 2
    assert again.properties["content_type"] == "application/json"
    headers = again.properties["application_headers"]
    kept = {name: value for name, value in before.items() if name.startswith("cloudEvents_")}
    assert {name: headers[name] for name in kept} == kept


def test_a_command_that_cannot_be_read_is_put_away_at_once(route: Any, rabbitmq: RabbitMQ) -> None:
    broken = amqp.Message(b'[[], {"bot_id": 1}, {}]', content_type="application/json", delivery_mode=2)
    deliver([Outgoing("", topology.COMMANDS, "bot.stop", broken)])
    reject_one(rabbitmq, "bot.stop")

    route(lambda: rabbitmq.count("bot.stop.dlq") == 1)

    reason = rabbitmq.take("bot.stop.dlq")[0].properties["application_headers"]["x-dead-reason"]
    assert reason == "It has no header 'task', so it is not a Celery task."


def test_what_no_queue_of_ours_has_failed_is_put_aside_and_does_not_stop_the_rest(
    route: Any, rabbitmq: RabbitMQ
) -> None:
    stray = amqp.Message(b"x", delivery_mode=2)
    deliver([Outgoing("", topology.FAILURES, "nobody.knows", stray)])
    send(started())
    reject_one(rabbitmq, "bot.started")

    route(lambda: rabbitmq.count("muckard.failures.dlq") == 1 and rabbitmq.count("bot.started") == 1)


def test_a_finished_command_is_not_delivered_again(route: Any, rabbitmq: RabbitMQ) -> None:
    done = stop_bot()
    CommandExecution.objects.create(
        command_id=done.command_id, name="bot.stop", aggregate_id=done.bot_id, state="done", first_delivered_at=NOW
    )
    send(done)
    reject_one(rabbitmq, "bot.stop")

    route(lambda: rabbitmq.count("muckard.failures") == 0)
    time.sleep(1.5)

    assert rabbitmq.count("bot.stop") == rabbitmq.count("bot.stop.dlq") == 0


def test_a_command_given_up_is_failed_with_the_reason(
    route: Any, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.events.commands.retry_router.decision.MAX_DEFERRALS", 1)
    unwanted = stop_bot()
    send(unwanted)
    reject_one(rabbitmq, "bot.stop")
    route(lambda: rabbitmq.count("bot.stop") == 1)
    assert reject_one(rabbitmq, "bot.stop")["x-attempt"] == 1

    route(lambda: rabbitmq.count("bot.stop.dlq") == 1)

    row = CommandExecution.objects.get(command_id=unwanted.command_id)
    assert (row.state, row.attempts, row.reason) == ("failed", 0, "deferred 1 times: no worker could take it")


def test_nothing_is_decided_while_postgresql_is_away(
    router: RetryRouter, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(stop_bot())
    reject_one(rabbitmq, "bot.stop")

    def away(_: Any) -> Any:
        raise OperationalError("the database system is shutting down")

    with monkeypatch.context() as patch:
        patch.setattr(CommandExecution.objects, "in_bulk", away)
        with pytest.raises(OperationalError):
            eventually(lambda: router.step() is None)
    eventually(lambda: router.step() is not None and rabbitmq.count("bot.stop") == 1)


def test_a_full_rung_holds_failures_back_and_loses_none(
    router: RetryRouter, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [Verdict.REFUSED]

    def publish(self: ConfirmedPublisher, messages: Any, **more: Any) -> Any:
        outcome = original(self, [] if refused else messages, **more)
        return type(outcome)(tuple(refused * len(messages)) or outcome.verdicts, None)

    original = ConfirmedPublisher.publish
    send(started())
    reject_one(rabbitmq, "bot.started")
    monkeypatch.setattr(ConfirmedPublisher, "publish", publish)
    eventually(lambda: router.step() > 0)
    assert ProcessHeartbeat.objects.get(name="retry-router").detail == "A retry queue is full."

    refused.clear()

    eventually(lambda: router.step() is not None and rabbitmq.count("bot.started") == 1)
    assert ProcessHeartbeat.objects.get(name="retry-router").state == "up"


def test_what_is_urgent_is_tried_again_however_many_others_fail_and_however_full_their_rungs_are(
    rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    failing = [replace(outgoing_of(envelope_of(started())), exchange=topology.FAILURES) for _ in range(2_000)]
    urgent = BotError(bot_id=uuid4(), user_id=uuid4(), code="crashed", message="", is_final=True, failed_at=NOW)
    processes = Processes(tmp_path)
    try:
        with rabbitmq.full("muckard.retry.[0-9]+s"):
            deliver(failing)
            send(urgent)
            reject_one(rabbitmq, "bot.error")
            processes.manage("run_retry_router")
            eventually(lambda: rabbitmq.count("bot.error") == 1, what="the urgent one again")
            assert rabbitmq.count("bot.started") < 100
    finally:
        processes.kill_all()


def test_a_router_killed_again_and_again_loses_nothing_and_repeats_little(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    kills, messages = 3, 300
    bots = [started() for _ in range(messages)]
    processes = Processes(tmp_path)
    try:
        # As from the last attempt, so that each ends in the dead letters, where it can be counted.
        last = [Outgoing(str(n), topology.FAILURES, "bot.started", last_attempt(bot)) for n, bot in enumerate(bots)]
        deliver(last[:100])
        for number in range(kills):
            running = processes.manage("run_retry_router")
            deliver(last[100 + number * 50 : 150 + number * 50])
            eventually(partial(has_grown, rabbitmq, rabbitmq.count("bot.started.dlq")), what="progress")
            running.send_signal(signal.SIGKILL)
            running.wait()
        processes.manage("run_retry_router")
        deliver(last[250:])
        eventually(lambda: rabbitmq.count("bot.started.dlq") >= messages, what="all of them")
        time.sleep(1)
        assert rabbitmq.count("muckard.failures") == 0
    finally:
        processes.kill_all()

    arrived = [message.body for message in rabbitmq.take("bot.started.dlq", at_most=10_000)]
    assert set(arrived) == {bot.canonical_bytes().decode() for bot in bots}
    assert len(arrived) - messages <= kills * 50


def has_grown(rabbitmq: RabbitMQ, before: int) -> bool:
    return rabbitmq.count("bot.started.dlq") > before


def last_attempt(message: Any) -> amqp.Message:
    sent = outgoing_of(envelope_of(message)).message
    sent.properties["application_headers"] = headers_of(envelope_of(message), attempt=5)
    return sent
