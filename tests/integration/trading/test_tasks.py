"""The doors: a command as a worker gets it, from its delivery to its end and the news of it."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from apps.core.terms import Mode
from apps.events.commands.delivery import AttemptFailed
from apps.events.commands.registry import execute
from apps.events.store.selectors import command_execution_get, stream_list
from apps.exchange.errors import ExchangeUnavailable
from apps.market.source import SharedMarket
from apps.messages.base import Command
from apps.messages.bots import BotError, BotStarted, BotStopped, StartBot, StopBot, TickBot, TriggerTrade
from apps.trading import tasks
from apps.trading.errors import WrongMode
from apps.trading.models.ledger import Fill
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context import live
from apps.vault.selectors import OpenCredential
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import UncachedMarket, fake_exchange, start_command

pytestmark = pytest.mark.django_db


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> FakeExchange:
    """Whatever a bot's key opens, and whatever shows its market, it is this."""
    exchange = fake_exchange()
    market = UncachedMarket(exchange)
    for read in ("instrument", "ticker", "order_book", "ohlc"):
        monkeypatch.setattr(SharedMarket, read, staticmethod(getattr(market, read)))
    key = OpenCredential(uuid4(), uuid4(), Mode.PAPER, "key", "secret")
    monkeypatch.setattr(live, "credential_open", lambda **_: key)
    monkeypatch.setattr(live, "credential_refuse_unusable", lambda **_: None)
    monkeypatch.setattr(live, "exchange_of_credential", lambda *_, **__: exchange)
    return exchange


def started_bot(**config: Any) -> BotRun:
    command = start_command(requested_at=timezone.now(), **config)
    assert execute(command) == "done"
    return BotRun.objects.get(start_command_id=command.command_id)


def asked_now() -> dict[str, datetime]:
    now = timezone.now()
    return {"requested_at": now, "expires_at": now + timedelta(hours=1)}


def trigger(run: BotRun, **wish: Any) -> TriggerTrade:
    return TriggerTrade(command_id=uuid4(), bot_id=run.bot_id, user_id=run.user_id, **asked_now(), **wish)


def story(bot_id: UUID) -> list[type]:
    return [type(event.message()) for event in stream_list(aggregate_type="bot", aggregate_id=bot_id)]


def state_of(command: Command) -> str:
    execution = command_execution_get(command_id=command.command_id)
    assert execution is not None
    return execution.state


def test_start_tick_trigger_and_stop(exchange: FakeExchange) -> None:
    run = started_bot(strategy="dca", parameters={"quote_amount": "50"})
    tasks.tick(TickBot(bot_id=run.bot_id, run_id=run.id, due_at=timezone.now()))
    command = trigger(run, side="buy", quote_amount=Decimal(50))
    assert execute(command) == "done"
    assert execute(StopBot(command_id=uuid4(), bot_id=run.bot_id, user_id=run.user_id, **asked_now())) == "done"
    assert Fill.objects.count() == len(exchange.placed) == 2
    assert story(run.bot_id)[0] is BotStarted
    assert story(run.bot_id)[-1] is BotStopped


def test_a_command_that_is_delivered_twice_is_done_once(exchange: FakeExchange) -> None:
    run = started_bot()
    command = trigger(run, side="buy", quote_amount=Decimal(50))
    assert [execute(command), execute(command)] == ["done", "already done"]
    assert len(exchange.placed) == 1


def test_a_start_that_comes_too_late_is_dropped(exchange: FakeExchange) -> None:
    command = start_command(requested_at=timezone.now() - timedelta(days=2))
    assert execute(command).startswith("dropped: expired")
    assert BotRun.objects.count() == 0
    assert story(command.bot_id) == []


def test_a_start_of_a_running_bot_is_dropped_and_is_no_error(exchange: FakeExchange) -> None:
    run = started_bot()
    command = start_command(bot_id=run.bot_id, requested_at=timezone.now())
    assert execute(command) == "dropped: the bot is already running"
    assert story(run.bot_id) == [BotStarted]


def test_a_start_that_cannot_succeed_fails_at_once_and_says_so(exchange: FakeExchange) -> None:
    command = start_command(requested_at=timezone.now(), pair="DOGEMOON")
    assert execute(command) == "failed: unknown_pair"
    [event] = stream_list(aggregate_type="bot", aggregate_id=command.bot_id)
    error = event.message()
    assert isinstance(error, BotError)
    assert (error.command_id, error.is_final, error.run_id) == (command.command_id, True, None)


def test_a_start_that_may_succeed_later_is_tried_again_and_gives_up_after_the_last_attempt(
    exchange: FakeExchange,
) -> None:
    command = start_command(requested_at=timezone.now())
    exchange.fail_reads(*[ExchangeUnavailable("The exchange does not answer.")] * 5)
    for _ in range(5):
        with pytest.raises(AttemptFailed):
            execute(command)
    assert state_of(command) == "failed"
    assert story(command.bot_id) == [BotError]


def test_a_trade_that_a_rule_refuses_is_a_failed_command_and_no_failed_bot(exchange: FakeExchange) -> None:
    run = started_bot()
    command = trigger(run, side="sell")
    assert execute(command) == "failed: trade_refused"
    error = stream_list(aggregate_type="bot", aggregate_id=run.bot_id)[-1].message()
    assert isinstance(error, BotError)
    assert (error.command_id, error.is_final) == (command.command_id, False)
    assert BotRun.objects.get().state == RunState.RUNNING


def test_every_bot_command_has_its_task() -> None:
    from celery_app import app

    names = {command.declaration.name for command in (StartBot, StopBot, TriggerTrade)} | {TickBot.declaration.name}
    assert names <= set(app.tasks)


def test_a_bot_of_one_mode_does_not_open_a_key_of_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    command = start_command()
    key = OpenCredential(command.config.credential_id, command.user_id, Mode.LIVE, "key", "secret")
    monkeypatch.setattr(live, "credential_open", lambda **_: key)
    monkeypatch.setattr(live, "credential_refuse_unusable", lambda **_: None)
    opened: list[object] = []
    monkeypatch.setattr(live, "exchange_of_credential", lambda key, **_: opened.append(key))
    run = BotRun(mode="paper", credential_id=key.id, user_id=key.user_id)
    with pytest.raises(WrongMode):
        live.exchange_of(run)
    assert opened == []
    run.mode = "live"
    live.exchange_of(run)
    assert opened == [key]
