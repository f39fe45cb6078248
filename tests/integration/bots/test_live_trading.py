"""Live trading is off unless an operator turns it on: every call that would begin it is refused, none that ends it."""

from typing import Any
from uuid import uuid4

import pytest
from pytest_django import Settings

from apps.bots.consumers import READ_MODELS
from apps.bots.models import Bot, BotCommand
from apps.core.terms import Mode
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.models import OutboxRow
from apps.risk.live_trading import DISABLED
from tests.factories.bots import Story, TraderClient
from tests.factories.live import assured_claims
from tests.integration.bots.conftest import World

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

load_consumers()

BOTS = "/api/v1/bot"


def definition(world: World, trader: TraderClient, **changes: Any) -> dict[str, Any]:
    fields = {
        "name": "Live",
        "credential_id": str(world.add_key(trader.user_id, mode=Mode.LIVE)),
        "pair": "XBTUSD",
        "strategy": "sma_cross",
        "quote_budget": "1000",
    }
    return fields | changes


def run(bot: Bot) -> Bot:
    deliver(Story(bot_id=bot.id, user_id=bot.user_id).started(), group=READ_MODELS)
    return bot


def assert_refused(response: Any) -> None:
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["message"]) == (422, "live_trading_disabled", DISABLED)
    assert OutboxRow.objects.count() == BotCommand.objects.count() == 0


def test_the_switch_is_off_unless_it_is_turned_on(settings: Settings) -> None:
    assert settings.LIVE_TRADING is settings.ENVIRONMENT.live_trading is False


@pytest.mark.parametrize("said", [{"mode": "live"}, {}], ids=["says live", "takes the key's mode"])
def test_a_live_bot_cannot_be_created(world: World, trader: TraderClient, said: dict[str, str]) -> None:
    assert_refused(trader.post(BOTS, definition(world, trader, **said)))
    assert Bot.objects.count() == 0


def test_a_paper_bot_does_not_become_a_live_one(world: World, trader: TraderClient, bot: Bot) -> None:
    live_key = str(world.add_key(trader.user_id, mode=Mode.LIVE))
    for changes in ({"mode": "live"}, {"credential_id": live_key}, {"mode": "live", "credential_id": live_key}):
        assert trader.patch(f"{BOTS}/{bot.id}", changes).status_code == 422
    before = (bot.mode, bot.credential_id)
    bot.refresh_from_db()
    assert (bot.mode, bot.credential_id) == before


@pytest.mark.parametrize("by_body", [False, True])
def test_a_live_bot_cannot_be_started(world: World, by_body: bool) -> None:
    trader = TraderClient(**assured_claims())
    bot = world.add_bot(trader.user_id, mode=Mode.LIVE)
    response = (
        trader.post(f"{BOTS}/start", {"bot_id": str(bot.id)}) if by_body else trader.post(f"{BOTS}/{bot.id}/start")
    )
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["details"]["gate"]) == (403, "live_gate_unmet", "installation")
    assert [gate["gate"] for gate in error["details"]["gates"]] == ["installation"]
    assert OutboxRow.objects.count() == BotCommand.objects.count() == 0


@pytest.mark.parametrize("wish", [{}, {"side": "buy", "quote_amount": "10"}])
@pytest.mark.parametrize("by_body", [False, True])
def test_a_live_bot_that_runs_cannot_be_asked_to_trade(
    world: World, trader: TraderClient, wish: dict[str, str], by_body: bool
) -> None:
    bot = run(world.add_bot(trader.user_id, mode=Mode.LIVE))
    if by_body:
        response = trader.post(f"{BOTS}/trigger_trade", {"bot_id": str(bot.id), **wish})
    else:
        response = trader.post(f"{BOTS}/{bot.id}/trigger-trade", wish)
    assert_refused(response)


def test_a_live_bot_that_runs_can_be_asked_to_sell(world: World, trader: TraderClient) -> None:
    bot = run(world.add_bot(trader.user_id, mode=Mode.LIVE))
    assert trader.post(f"{BOTS}/{bot.id}/trigger-trade", {"side": "sell"}).status_code == 202


@pytest.mark.parametrize("manner", ["pause", "stop", "flatten"])
def test_a_live_bot_that_runs_can_be_ended(world: World, trader: TraderClient, manner: str) -> None:
    bot = run(world.add_bot(trader.user_id, mode=Mode.LIVE))
    assert trader.post(f"{BOTS}/{bot.id}/{manner}").status_code == 202
    assert BotCommand.objects.get().kind == manner


def test_all_bots_can_be_stopped_live_ones_among_them(world: World, trader: TraderClient) -> None:
    bots = {run(world.add_bot(trader.user_id, mode=mode)).id for mode in Mode}
    assert trader.post(f"{BOTS}/stop-all").status_code == 202
    assert {command.bot_id for command in BotCommand.objects.all()} == bots


def test_a_live_bot_can_be_renamed_and_deleted(world: World, trader: TraderClient) -> None:
    bot = world.add_bot(trader.user_id, mode=Mode.LIVE)
    assert trader.patch(f"{BOTS}/{bot.id}", {"name": "Later"}).status_code == 200
    assert trader.delete(f"{BOTS}/{bot.id}").status_code == 204


def test_paper_bots_do_not_ask_the_switch(world: World, trader: TraderClient) -> None:
    key = str(world.add_key(trader.user_id))
    created = trader.post(BOTS, definition(world, trader, credential_id=key))
    assert created.status_code == 201
    assert trader.post(f"{BOTS}/{created.json()['id']}/start").status_code == 202


def test_another_users_live_bot_is_not_there(world: World, trader: TraderClient) -> None:
    bot = world.add_bot(uuid4(), mode=Mode.LIVE)
    assert trader.post(f"{BOTS}/{bot.id}/start").status_code == 404


@pytest.mark.usefixtures("live_trading_on")
def test_turned_on_a_live_bot_is_created_started_and_asked_to_trade(world: World) -> None:
    trader = TraderClient(**assured_claims())
    created = trader.post(BOTS, definition(world, trader, mode=Mode.LIVE))
    assert (created.status_code, created.json()["mode"]) == (201, "live")
    assert trader.post(f"{BOTS}/{created.json()['id']}/start").status_code == 202
    bot = run(world.add_bot(trader.user_id, mode=Mode.LIVE))
    assert trader.post(f"{BOTS}/{bot.id}/trigger-trade", {"side": "buy"}).status_code == 202
