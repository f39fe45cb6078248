"""Concurrent identical requests: the database lets one succeed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from apps.audit.replay.rebuild import Rebuild
from apps.bots.consumers import READ_MODELS
from apps.bots.errors import BotAlreadyRunning, BotStopping
from apps.bots.models import Bot, BotCommand, BotStatus, RunEvent
from apps.bots.services.commands import bot_start, bot_stop, bot_stop_all
from apps.core.errors import PlatformError
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.models import InboxEntry, OutboxRow, StoredEvent
from apps.events.store.publish import publish
from apps.events.store.selectors import envelope_of
from apps.messages.envelope import Envelope
from tests.factories.bots import Story, TraderClient
from tests.integration.bots.conftest import World
from tests.integration.bots.executions import execution

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("kraken_service.urls")]

load_consumers()


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Runs the calls concurrently, each with its own connection. Returns their results or exceptions."""
    barrier = Barrier(len(works))

    def work(call: Callable[[], Any]) -> Any:
        barrier.wait(timeout=10)
        try:
            return call()
        except PlatformError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(work, works))


def test_of_many_starts_at_once_one_is_accepted_and_the_others_are_conflicts(bot: Bot) -> None:
    def start() -> BotCommand:
        return bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())

    outcomes = at_once(*[start] * 6)

    assert [type(outcome) for outcome in outcomes].count(BotCommand) == 1
    assert [type(outcome) for outcome in outcomes].count(BotAlreadyRunning) == 5
    assert BotCommand.objects.count() == 1
    assert OutboxRow.objects.filter(destination="bot.start").count() == 1


def test_a_stop_and_a_stop_all_at_once_ask_the_bot_once(bot: Bot) -> None:
    execution(bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now()).id, "done")

    outcomes = at_once(
        lambda: [bot_stop(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())],
        lambda: bot_stop_all(user_id=bot.user_id, manner="stop", now=timezone.now()),
    )

    accepted = [outcome for outcome in outcomes if isinstance(outcome, list) and outcome]
    assert len(accepted) == 1
    assert all(isinstance(outcome, BotStopping) or outcome == [] for outcome in outcomes if outcome not in accepted)
    assert OutboxRow.objects.filter(destination="bot.stop").count() == 1


def test_two_stop_alls_at_once_do_not_wait_for_one_another_for_ever(world: World, bot: Bot) -> None:
    bots = [bot, *(world.add_bot(bot.user_id) for _ in range(4))]
    for each in bots:
        execution(bot_start(bot_id=each.id, user_id=each.user_id, now=timezone.now()).id, "done")

    def stop_all() -> list[BotCommand]:
        return bot_stop_all(user_id=bot.user_id, manner="stop", now=timezone.now())

    outcomes = at_once(stop_all, stop_all, stop_all)

    assert sorted(len(commands) for commands in outcomes) == [0, 0, 5]


def test_one_idempotency_key_sent_many_times_at_once_starts_once_and_is_answered_alike(bot: Bot) -> None:
    key = uuid4().hex

    def post() -> tuple[int, Any]:
        response = TraderClient(bot.user_id).post(f"/api/v1/bot/{bot.id}/start", headers={"Idempotency-Key": key})
        return response.status_code, response.json()

    outcomes = at_once(*[post] * 4)

    assert {status for status, _ in outcomes} == {202}
    assert len({body["id"] for _, body in outcomes}) == 1
    assert BotCommand.objects.count() == 1


def test_news_and_trades_of_one_bot_at_once_are_all_counted() -> None:
    story = Story()
    story.started()
    for _ in range(5):
        story.traded("buy")
    story.skipped()

    assert at_once(*[lambda each=each: deliver(each, group=READ_MODELS) for each in story.envelopes]) == [True] * 7

    status = BotStatus.objects.get(bot_id=story.bot_id)
    assert (status.state, status.trades, status.skip_code, status.last_seq) == ("running", 5, "budget_spent", 7)
    assert InboxEntry.objects.filter(consumer=READ_MODELS).count() == 7


def test_the_same_event_delivered_twice_at_once_counts_once() -> None:
    story = Story()
    trade = story.traded("buy")

    outcomes = at_once(*[lambda: deliver(trade, group=READ_MODELS)] * 2)

    assert sorted(outcomes) == [False, True]
    assert BotStatus.objects.get(bot_id=story.bot_id).trades == 1


def test_a_bot_is_stopped_and_started_again_while_its_read_model_is_rebuilt(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story(bot_id=bot.id, user_id=bot.user_id)
    execution(bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now()).id, "done")
    _report(story.started())
    take = Rebuild.take
    seen: list[Any] = []

    def stop_and_start() -> None:
        stop = bot_stop(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())
        execution(stop.id, "done")
        _report(story.stopped())
        start = bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())
        seen.extend((stop.kind, BotStatus.objects.get(bot_id=bot.id).state, start.kind))

    def take_meanwhile(self: Rebuild, envelopes: Any) -> None:
        monkeypatch.setattr(Rebuild, "take", take)
        assert at_once(stop_and_start) == [None]
        take(self, envelopes)

    monkeypatch.setattr(Rebuild, "take", take_meanwhile)
    call_command("replay_events", into="bot-read-models", stdout=StringIO(), stderr=StringIO())

    assert seen == ["stop", "stopped", "start"]
    assert BotStatus.objects.get(bot_id=bot.id).state == "stopped"
    assert set(RunEvent.objects.values_list("state", flat=True)) == {"running", "stopped"}


def _report(envelope: Envelope) -> None:
    """Publishes a worker's event and applies it to the read models."""
    with transaction.atomic():
        event_id = publish(envelope.message(), now=timezone.now(), user_id=envelope.user_id)  # type: ignore[arg-type]
    assert deliver(envelope_of(StoredEvent.objects.get(event_id=event_id)), group=READ_MODELS)
