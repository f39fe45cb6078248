"""Commands to bots over HTTP, and their permissions."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from apps.bots.consumers import READ_MODELS
from apps.bots.models import Bot, BotCommand
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.models import StoredEvent
from tests.factories.bots import Story, TraderClient
from tests.integration.bots.conftest import World
from tests.integration.bots.executions import execution

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

load_consumers()


def definition(world: World, trader: TraderClient, **fields: Any) -> dict[str, Any]:
    given = {
        "name": "Follower",
        "pair": "XBTUSD",
        "strategy": "sma_cross",
        "parameters": {"fast": 3, "slow": 8},
        "interval_minutes": 60,
        "quote_budget": "1000",
        **fields,
    }
    return {"credential_id": str(world.add_key(trader.user_id)), **given}


def story_of(bot: Bot) -> Story:
    return Story(bot_id=bot.id, user_id=bot.user_id)


class TestCommands:
    def test_a_start_is_accepted_with_a_receipt_and_its_address(self, trader: TraderClient, bot: Bot) -> None:
        response = trader.post(f"/api/v1/bot/{bot.id}/start")

        assert response.status_code == 202
        receipt = response.json()
        assert (receipt["bot_id"], receipt["kind"], receipt["state"]) == (str(bot.id), "start", "requested")
        assert response["Location"] == f"/api/v1/bot/{bot.id}/commands/{receipt['id']}"
        assert trader.get(response["Location"]).json() == receipt
        assert trader.get(f"/api/v1/bot/{bot.id}").json()["state"] == "starting"

    def test_a_second_start_is_a_conflict_in_the_one_error_shape(self, trader: TraderClient, bot: Bot) -> None:
        trader.post(f"/api/v1/bot/{bot.id}/start")
        response = trader.post(f"/api/v1/bot/{bot.id}/start")

        assert response.status_code == 409
        error = response.json()["error"]
        assert set(error) == {"code", "message", "details", "request_id"}
        assert (error["code"], error["details"]["bot_id"]) == ("bot_already_running", str(bot.id))

    @pytest.mark.parametrize("ending", ["pause", "stop", "flatten"])
    def test_a_running_bot_can_be_ended(self, trader: TraderClient, bot: Bot, ending: str) -> None:
        deliver(story_of(bot).started(), group=READ_MODELS)
        response = trader.post(f"/api/v1/bot/{bot.id}/{ending}")

        assert (response.status_code, response.json()["kind"]) == (202, ending)

    @pytest.mark.parametrize("ending", ["pause", "stop", "flatten"])
    def test_a_stopped_bot_cannot(self, trader: TraderClient, bot: Bot, ending: str) -> None:
        response = trader.post(f"/api/v1/bot/{bot.id}/{ending}")
        assert (response.status_code, response.json()["error"]["code"]) == (409, "bot_not_running")

    def test_a_trade_can_be_asked_for(self, trader: TraderClient, bot: Bot) -> None:
        deliver(story_of(bot).started(), group=READ_MODELS)
        response = trader.post(f"/api/v1/bot/{bot.id}/trigger-trade", {"side": "buy", "quote_amount": "12.5"})

        assert response.status_code == 202
        assert response.json()["arguments"] == {"side": "buy", "quote_amount": "12.5"}
        assert trader.post(f"/api/v1/bot/{bot.id}/trigger-trade").json()["arguments"] == {}

    @pytest.mark.parametrize("amount", ["0", "-1", "a lot", "NaN", []])
    def test_a_trade_of_nothing_is_malformed(self, trader: TraderClient, bot: Bot, amount: Any) -> None:
        deliver(story_of(bot).started(), group=READ_MODELS)
        response = trader.post(f"/api/v1/bot/{bot.id}/trigger-trade", {"side": "buy", "quote_amount": amount})
        assert response.status_code == 400

    def test_all_bots_can_be_stopped_in_one_call(self, world: World, trader: TraderClient, bot: Bot) -> None:
        other = world.add_bot(trader.user_id)
        for each in (bot, other):
            deliver(story_of(each).started(), group=READ_MODELS)

        response = trader.post("/api/v1/bot/stop-all", {"manner": "flatten"})

        assert response.status_code == 202
        assert {(each["bot_id"], each["kind"]) for each in response.json()["results"]} == {
            (str(bot.id), "flatten"),
            (str(other.id), "flatten"),
        }
        assert trader.post("/api/v1/bot/stop-all").json()["results"] == []

    def test_the_older_addresses_take_the_bot_in_the_body(self, trader: TraderClient, bot: Bot) -> None:
        body = {"bot_id": str(bot.id)}
        start = trader.post("/api/v1/bot/start", body)
        assert (start.status_code, start.json()["kind"]) == (202, "start")
        assert start["Location"] == f"/api/v1/bot/{bot.id}/commands/{start.json()['id']}"
        execution(UUID(start.json()["id"]), "done")

        trade = trader.post("/api/v1/bot/trigger_trade", {**body, "side": "sell"})
        assert (trade.status_code, trade.json()["arguments"]) == (202, {"side": "sell"})
        stop = trader.post("/api/v1/bot/stop", body)
        assert (stop.status_code, stop.json()["kind"]) == (202, "stop")

    @pytest.mark.parametrize("body", [{}, {"bot_id": "x"}, {"bot_id": None}])
    @pytest.mark.parametrize("call", ["start", "stop", "trigger_trade"])
    def test_the_older_addresses_need_a_bot(self, trader: TraderClient, call: str, body: dict[str, Any]) -> None:
        assert trader.post(f"/api/v1/bot/{call}", body).status_code == 400

    def test_the_commands_of_a_bot_are_listed_newest_first(self, trader: TraderClient, bot: Bot) -> None:
        start = trader.post(f"/api/v1/bot/{bot.id}/start").json()
        stop = trader.post(f"/api/v1/bot/{bot.id}/stop").json()

        results = trader.get(f"/api/v1/bot/{bot.id}/commands").json()["results"]
        assert [each["id"] for each in results] == [stop["id"], start["id"]]
        assert results[1]["superseded_by"] == stop["id"]

    def test_an_idempotency_key_starts_once_and_is_answered_alike(self, trader: TraderClient, bot: Bot) -> None:
        url, headers = f"/api/v1/bot/{bot.id}/start", {"Idempotency-Key": "once"}
        first = trader.post(url, headers=headers)
        second = trader.post(url, headers=headers)

        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json() == second.json()
        assert first["Location"] == second["Location"]
        assert BotCommand.objects.count() == 1

    def test_an_idempotency_key_for_another_request_is_a_conflict(self, trader: TraderClient, bot: Bot) -> None:
        headers = {"Idempotency-Key": "once"}
        trader.post(f"/api/v1/bot/{bot.id}/start", headers=headers)
        response = trader.post(f"/api/v1/bot/{bot.id}/stop", headers=headers)

        assert (response.status_code, response.json()["error"]["code"]) == (409, "idempotency_key_reused")
        assert BotCommand.objects.count() == 1

    def test_a_bot_is_created_once_for_an_idempotency_key(self, world: World, trader: TraderClient) -> None:
        body, headers = definition(world, trader), {"Idempotency-Key": "once"}
        first = trader.post("/api/v1/bot", body, headers=headers)
        second = trader.post("/api/v1/bot", body, headers=headers)

        assert first.json() == second.json()
        assert Bot.objects.count() == 1


def test_a_start_needs_no_broker_and_writes_one_event(trader: TraderClient, bot: Bot) -> None:
    before = StoredEvent.objects.count()
    assert trader.post(f"/api/v1/bot/{bot.id}/start").status_code == 202
    assert StoredEvent.objects.count() == before + 1


def test_the_receipt_follows_the_worker(trader: TraderClient, bot: Bot) -> None:
    location = trader.post(f"/api/v1/bot/{bot.id}/start")["Location"]
    command_id = BotCommand.objects.get().id
    execution(command_id, "done", attempts=2, at=timezone.now() - timedelta(seconds=1))

    receipt = trader.get(location).json()
    assert (receipt["state"], receipt["attempts"]) == ("done", 2)
    assert trader.get(f"/api/v1/bot/{bot.id}").json()["state"] == "running"


class TestCommandsOfAllBots:
    def test_are_listed_newest_first_and_filtered_by_kind_and_time(self, world: World, trader: TraderClient) -> None:
        one, other = world.add_bot(trader.user_id), world.add_bot(trader.user_id)
        for bot in (one, other):
            trader.post(f"/api/v1/bot/{bot.id}/start")
        stopped = trader.post("/api/v1/bot/stop-all", {"manner": "stop"}, format="json").json()["results"]
        since = min(each["requested_at"] for each in stopped)

        assert len(trader.get("/api/v1/bot/commands").json()["results"]) == 4
        found = trader.get("/api/v1/bot/commands", {"since": since, "kind": "stop"}).json()["results"]
        assert {each["id"] for each in found} == {each["id"] for each in stopped}
        assert {(each["bot_name"], each["mode"]) for each in found} == {(bot.name, "paper") for bot in (one, other)}
        assert trader.get("/api/v1/bot/commands", {"until": since, "kind": "stop"}).json()["results"] == []

    def test_of_another_user_are_not_listed(self, world: World, trader: TraderClient, bot: Bot) -> None:
        trader.post(f"/api/v1/bot/{bot.id}/start")
        assert TraderClient().get("/api/v1/bot/commands").json()["results"] == []
