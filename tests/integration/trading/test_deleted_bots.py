"""A bot that its owner has deleted: what runs of it ends, and nothing of it starts or trades again."""

from datetime import datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone

from apps.core.terms import Mode
from apps.events.commands.registry import execute
from apps.events.store.selectors import stream_list
from apps.messages.base import Command
from apps.messages.bots import BotStarted, BotStopped, StopBot, StopDeletedBot, TriggerTrade
from apps.risk.models.switches import BotSwitch
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context import live
from apps.vault.selectors import OpenCredential
from tests.factories.bots import BotFactory
from tests.factories.exchange import use_fake_exchange
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import fake_exchange, start_command

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def exchange(monkeypatch: pytest.MonkeyPatch) -> FakeExchange:
    exchange = fake_exchange()
    key = OpenCredential(uuid4(), uuid4(), Mode.PAPER, "key", "secret")
    monkeypatch.setattr(live, "credential_open", lambda **_: key)
    monkeypatch.setattr(live, "credential_refuse_unusable", lambda **_: None)
    monkeypatch.setattr(live, "exchange_of_credential", lambda _, **__: exchange)
    # The market is read without the key.
    return use_fake_exchange(monkeypatch, exchange)


def deletion(bot_id: UUID, *, at: datetime, user_id: UUID | None = None) -> StopDeletedBot:
    return StopDeletedBot(
        command_id=uuid4(),
        bot_id=bot_id,
        user_id=user_id or uuid4(),
        requested_at=at,
        expires_at=at + timedelta(days=3650),
        deleted_at=at,
    )


def ask(kind: type[Command], bot_id: UUID, user_id: UUID | None = None) -> Any:
    now = timezone.now()
    values = {"command_id": uuid4(), "bot_id": bot_id, "user_id": user_id or uuid4(), "requested_at": now}
    return kind.model_validate(values | {"expires_at": now + timedelta(hours=1)})


def news(bot_id: UUID) -> list[type]:
    return [type(event.message()) for event in stream_list(aggregate_type="bot", aggregate_id=bot_id)]


@pytest.mark.parametrize("newer_by", [timedelta(days=-1), timedelta(0), timedelta(hours=5), timedelta(days=30)])
def test_no_start_is_carried_out_whenever_it_was_asked_for(newer_by: timedelta) -> None:
    bot_id, now = uuid4(), timezone.now()
    assert execute(deletion(bot_id, at=now)) == "done"

    start = start_command(bot_id=bot_id, requested_at=now + newer_by)
    start = start.model_copy(update={"expires_at": now + timedelta(days=60)})

    assert execute(start) == "dropped: the bot was deleted"
    assert BotRun.objects.count() == 0
    assert news(bot_id) == [BotStopped]


def test_no_trade_is_carried_out(exchange: FakeExchange) -> None:
    bot_id = uuid4()
    execute(deletion(bot_id, at=timezone.now()))

    assert execute(ask(TriggerTrade, bot_id)) == "dropped: the bot was deleted"
    assert exchange.placed == []


def test_a_run_that_began_after_the_deletion_was_ordered_is_ended_by_it() -> None:
    ordered_at = timezone.now() - timedelta(minutes=1)
    start = start_command(requested_at=timezone.now())
    assert execute(start) == "done"

    assert execute(deletion(start.bot_id, at=ordered_at, user_id=start.user_id)) == "done"

    assert BotRun.objects.get().state == RunState.STOPPED
    assert execute(start_command(bot_id=start.bot_id, requested_at=timezone.now())) == "dropped: the bot was deleted"
    assert news(start.bot_id) == [BotStarted, BotStopped]


def test_a_stop_is_still_carried_out() -> None:
    bot_id = uuid4()
    execute(deletion(bot_id, at=timezone.now()))

    assert execute(ask(StopBot, bot_id)) == "done"


def test_a_deletion_under_another_users_name_deletes_nothing() -> None:
    start = start_command(requested_at=timezone.now())
    execute(start)

    assert execute(deletion(start.bot_id, at=timezone.now())) == "dropped: the bot is another user's"
    assert BotRun.objects.get().state == RunState.RUNNING
    assert not BotSwitch.objects.filter(deleted_at__isnull=False).exists()


def test_a_plain_stop_deletes_nothing() -> None:
    bot_id = uuid4()
    execute(ask(StopBot, bot_id))

    assert execute(start_command(bot_id=bot_id, requested_at=timezone.now() + timedelta(seconds=1))) == "done"


def test_bots_deleted_before_workers_knew_of_it_are_taken_over_once_and_move_with_their_table() -> None:
    gone, there = BotFactory.create(deleted_at=timezone.now()), BotFactory.create()
    BotSwitch.objects.create(bot_id=gone.id)
    take_over = import_module("apps.trading.migrations.0003_botswitch_deleted_at").TAKE_OVER
    move = import_module("apps.trading.migrations.0007_switches_move_to_risk")

    with connection.cursor() as cursor:
        cursor.execute(move.MOVE_BACK)
        cursor.execute(take_over)
        cursor.execute(move.MOVE)

    assert BotSwitch.objects.get(bot_id=gone.id).deleted_at == gone.deleted_at
    assert not BotSwitch.objects.filter(bot_id=there.id).exists()
