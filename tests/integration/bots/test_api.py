"""The kraken service's bot endpoints, as a client sees them."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import jsonschema
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.bots.consumers import ALERTS, READ_MODELS
from apps.bots.models import Bot, BotCommand
from apps.core.context import message_context
from apps.core.ids import new_id
from apps.core.principal import Role
from apps.events.consumers import deliver, load_consumers
from apps.events.models import StoredEvent
from apps.events.selectors import stream_list
from apps.events.services import publish
from tests.factories.bots import START_OF_STORY, Story, TraderClient
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


class TestStrategies:
    def test_come_with_the_json_schema_of_their_parameters(self, trader: TraderClient) -> None:
        results = trader.get("/api/v1/bot/strategies").json()["results"]

        assert [each["name"] for each in results] == ["breakout", "dca", "sma_cross"]
        by_name = {each["name"]: each for each in results}
        jsonschema.validate({"fast": 3, "slow": 8}, by_name["sma_cross"]["parameters"])
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"every_candles": 3}, by_name["dca"]["parameters"])


class TestDefinitions:
    def test_a_bot_is_created_and_found_again(self, world: World, trader: TraderClient) -> None:
        body = definition(world, trader, quote_budget="1000.50")
        response = trader.post("/api/v1/bot", body)

        assert response.status_code == 201
        created = response.json()
        assert (
            created.items()
            >= {
                **body,
                "parameters": {"fast": 3, "slow": 8, "enter_on_start": True},
                "quote_budget": "1000.5",
                "mode": "paper",
                "version": 1,
                "state": "stopped",
            }.items()
        )
        assert response["Location"] == f"/api/v1/bot/{created['id']}"
        assert trader.get(response["Location"]).json() == created
        assert trader.get("/api/v1/bot").json()["results"] == [created]

    def test_what_may_be_left_out_has_a_default(self, world: World, trader: TraderClient) -> None:
        body = definition(world, trader)
        del body["parameters"], body["interval_minutes"]
        created = trader.post("/api/v1/bot", body).json()

        assert created["interval_minutes"] == 60
        assert created["parameters"] == {"fast": 5, "slow": 20, "enter_on_start": True}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": ""},
            {"name": "a\nb"},
            {"name": "\ud800"},
            {"name": "x" * 81},
            {"quote_budget": "a lot"},
            {"quote_budget": "NaN"},
            {"quote_budget": "1e40"},
            {"interval_minutes": 7},
            {"interval_minutes": []},
            {"credential_id": "mine"},
            {"pair": "XBT USD"},
            {"pair": None},
            {"parameters": []},
            {"parameters": {"\ud800": 1}},
            {"mode": "demo"},
        ],
    )
    def test_a_malformed_definition_is_400_and_creates_nothing(
        self, world: World, trader: TraderClient, wrong: dict[str, Any]
    ) -> None:
        body = json.dumps(definition(world, trader, **wrong))
        response = trader.generic("POST", "/api/v1/bot", body, content_type="application/json")

        assert response.status_code == 400
        assert response.json()["error"]["code"] == "malformed"
        assert list(response.json()["error"]["details"]["fields"]) == list(wrong)
        assert Bot.objects.count() == 0

    @pytest.mark.parametrize(
        ("wrong", "code"),
        [
            ({"strategy": "martingale"}, "unknown_strategy"),
            ({"parameters": {"fast": 9, "slow": 8}}, "invalid_parameters"),
            ({"pair": "NOPEUSD"}, "unknown_pair"),
            ({"quote_budget": "0.1"}, "budget_too_small"),
            ({"quote_budget": "-5"}, "budget_too_small"),
            ({"mode": "live"}, "wrong_mode"),
            ({"credential_id": str(uuid4())}, "unknown_credential"),
        ],
    )
    def test_a_definition_that_a_rule_refuses_is_422(
        self, world: World, trader: TraderClient, wrong: dict[str, Any], code: str
    ) -> None:
        response = trader.post("/api/v1/bot", definition(world, trader, **wrong))

        assert (response.status_code, response.json()["error"]["code"]) == (422, code)
        assert Bot.objects.count() == 0

    @pytest.mark.parametrize("body", ["{", "[]", '"text"', "\x00"])
    def test_a_body_that_is_no_object_is_400(self, trader: TraderClient, body: str) -> None:
        response = trader.generic("POST", "/api/v1/bot", body, content_type="application/json")

        assert response.status_code == 400
        assert response.json()["error"]["code"] == "malformed"

    def test_a_change_makes_a_version_and_a_stale_one_is_a_conflict(self, trader: TraderClient, bot: Bot) -> None:
        url = f"/api/v1/bot/{bot.id}"
        changed = trader.patch(url, {"name": "Renamed", "version": 1})
        assert (changed.status_code, changed.json()["version"], changed.json()["name"]) == (200, 2, "Renamed")

        stale = trader.patch(url, {"name": "Again", "version": 1})
        assert (stale.status_code, stale.json()["error"]["code"]) == (409, "bot_changed_meanwhile")

    def test_the_mode_never_changes(self, trader: TraderClient, bot: Bot) -> None:
        response = trader.patch(f"/api/v1/bot/{bot.id}", {"mode": "live"})
        assert (response.status_code, response.json()["error"]["code"]) == (422, "field_is_immutable")

    def test_a_deleted_bot_is_gone(self, trader: TraderClient, bot: Bot) -> None:
        assert trader.delete(f"/api/v1/bot/{bot.id}").status_code == 204
        assert trader.get(f"/api/v1/bot/{bot.id}").status_code == 404
        assert trader.get("/api/v1/bot").json()["results"] == []

    def test_lists_are_paged_newest_first(self, world: World, trader: TraderClient) -> None:
        bots = [world.add_bot(trader.user_id) for _ in range(5)]
        world.add_bot(uuid4())

        seen, url = [], "/api/v1/bot?limit=2"
        while url:
            page = trader.get(url).json()
            assert len(page["results"]) <= 2
            seen += [each["id"] for each in page["results"]]
            url = page["next"]
        assert seen == sorted((str(bot.id) for bot in bots), reverse=True)

    @pytest.mark.parametrize("path", ["/api/v1/bot", "/api/v1/trading/trades", "/api/v1/bot/alerts"])
    @pytest.mark.parametrize("cursor", ["nonsense", "cD1ub25zZW5zZQ==", "bz14"])
    def test_a_made_up_cursor_is_400(self, trader: TraderClient, bot: Bot, path: str, cursor: str) -> None:
        assert trader.get(f"{path}?cursor={cursor}").status_code == 400

    def test_a_list_costs_the_same_number_of_queries_however_long(
        self, world: World, trader: TraderClient, django_assert_num_queries: Any
    ) -> None:
        for _ in range(6):
            started = world.add_bot(trader.user_id)
            trader.post(f"/api/v1/bot/{started.id}/start")
        with django_assert_num_queries(4):
            assert len(trader.get("/api/v1/bot").json()["results"]) == 6


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


OWNED = [
    ("get", ""),
    ("patch", ""),
    ("delete", ""),
    ("post", "/start"),
    ("post", "/pause"),
    ("post", "/stop"),
    ("post", "/flatten"),
    ("post", "/trigger-trade"),
    ("get", "/commands"),
    ("get", "/status"),
    ("get", "/timeline"),
    ("get", "/trades"),
    ("get", "/performance"),
]


class TestOwnership:
    @pytest.mark.parametrize(("method", "path"), OWNED)
    def test_anothers_bot_looks_like_one_that_is_not_there(
        self, trader: TraderClient, bot: Bot, method: str, path: str
    ) -> None:
        stranger = TraderClient()
        deliver(story_of(bot).started(), group=READ_MODELS)

        def answer(bot_id: object) -> Any:
            response = getattr(stranger, method)(f"/api/v1/bot/{bot_id}{path}")
            error = response.json()["error"]
            return response.status_code, error["code"], error["message"]

        assert answer(bot.id) == answer(uuid4())
        assert answer(bot.id)[0] == 404
        assert BotCommand.objects.count() == 0

    @pytest.mark.parametrize("call", ["start", "stop", "trigger_trade"])
    def test_anothers_bot_in_the_body_is_not_found(self, bot: Bot, call: str) -> None:
        assert TraderClient().post(f"/api/v1/bot/{call}", {"bot_id": str(bot.id)}).status_code == 404

    def test_anothers_receipt_is_not_found(self, trader: TraderClient, bot: Bot) -> None:
        location = trader.post(f"/api/v1/bot/{bot.id}/start")["Location"]
        assert TraderClient().get(location).status_code == 404

    def test_without_a_token_it_is_401_and_without_the_role_403(self, bot: Bot) -> None:
        nobody = APIClient().get(f"/api/v1/bot/{bot.id}")
        assert (nobody.status_code, nobody.json()["error"]["code"]) == (401, "not_authenticated")
        auditor = TraderClient(bot.user_id, Role.AUDITOR).get(f"/api/v1/bot/{bot.id}")
        assert (auditor.status_code, auditor.json()["error"]["code"]) == (403, "forbidden")

    def test_trades_and_alerts_are_the_callers_own(self, bot: Bot, trader: TraderClient) -> None:
        mine, anothers = story_of(bot), Story()
        for story in (mine, anothers):
            deliver(story.account_traded("buy"), group=READ_MODELS)
            deliver(story.failed(is_final=True), group=ALERTS)

        trades = trader.get("/api/v1/trading/trades").json()["results"]
        assert [trade["bot_id"] for trade in trades] == [str(bot.id)]
        alerts = trader.get("/api/v1/bot/alerts").json()["results"]
        assert [alert["bot_id"] for alert in alerts] == [str(bot.id)]


class TestStatus:
    def test_of_a_bot_that_never_ran_is_stopped_and_empty(self, trader: TraderClient, bot: Bot) -> None:
        body = trader.get(f"/api/v1/bot/{bot.id}/status").json()

        assert body == {
            "bot_id": str(bot.id),
            "state": "stopped",
            "since": None,
            "run_id": None,
            "run_started_at": None,
            "config_version": None,
            "reason": "",
            "open_orders": [],
            "command": None,
            "last_error": None,
            "last_skip": None,
            "trades": 0,
            "last_trade_at": None,
            "base_asset": "",
            "quote_asset": "",
            "position_volume": "0",
            "quote_flow": "0",
            "realised_pnl": "0",
            "fees": "0",
            "last_event_seq": 0,
        }

    def test_tells_the_run_the_position_and_the_last_trouble(self, trader: TraderClient, bot: Bot) -> None:
        story = story_of(bot)
        story.started(version=3)
        story.traded("buy", volume="0.02", price="10000", fee="0.52")
        story.traded("sell", volume="0.01", price="11000", fee="0.29")
        story.failed(is_final=False)
        story.skipped()
        for envelope in story.envelopes:
            deliver(envelope, group=READ_MODELS)

        body = trader.get(f"/api/v1/bot/{bot.id}/status").json()
        assert (
            body.items()
            >= {
                "state": "running",
                "run_id": str(story.run_id),
                "since": "2026-03-01T12:00:00Z",
                "config_version": 3,
                "trades": 2,
                "last_trade_at": "2026-03-01T12:02:00Z",
                "base_asset": "XBT",
                "quote_asset": "USD",
                "position_volume": "0.01",
                "quote_flow": "-90.81",
                "realised_pnl": "9.45",
                "fees": "0.81",
                "last_event_seq": 5,
                "last_error": {
                    "code": "exchange_down",
                    "message": "The exchange does not answer.",
                    "at": "2026-03-01T12:03:00Z",
                },
                "last_skip": {"code": "budget_spent", "message": "The budget is spent.", "at": "2026-03-01T12:04:00Z"},
            }.items()
        )

    def test_names_the_command_under_way(self, trader: TraderClient, bot: Bot) -> None:
        receipt = trader.post(f"/api/v1/bot/{bot.id}/start").json()
        body = trader.get(f"/api/v1/bot/{bot.id}/status").json()

        assert (body["state"], body["command"]) == ("starting", {"id": receipt["id"], "kind": "start"})

    def test_trades_are_listed_newest_first_by_pages(self, trader: TraderClient, bot: Bot) -> None:
        story = story_of(bot)
        for _ in range(5):
            deliver(story.traded("buy"), group=READ_MODELS)
        newest_first = [str(getattr(envelope.message(), "trade_id")) for envelope in reversed(story.envelopes)]  # noqa: B009

        seen, url = [], f"/api/v1/bot/{bot.id}/trades?limit=2"
        while url:
            page = trader.get(url).json()
            seen += [trade["trade_id"] for trade in page["results"]]
            url = page["next"]
        assert seen == newest_first

    def test_a_trade_tells_its_own_profit_and_the_position_after_it(self, trader: TraderClient, bot: Bot) -> None:
        story = story_of(bot)
        for side, price in (("buy", "10000"), ("sell", "11000")):
            deliver(story.traded(side, volume="0.01", price=price, fee="0.25"), group=READ_MODELS)

        sale, purchase = trader.get(f"/api/v1/bot/{bot.id}/trades").json()["results"]
        assert sale.items() >= {"side": "sell", "cost": "110", "realised_pnl": "9.5", "position_volume": "0"}.items()
        assert purchase.items() >= {"side": "buy", "cost": "100", "realised_pnl": "0"}.items()
        assert purchase["position_volume"] == "0.01"

    def test_account_trades_can_be_filtered(self, trader: TraderClient) -> None:
        xbt, eth = Story(user_id=trader.user_id), Story(user_id=trader.user_id, pair="ETHUSD")
        for story in (xbt, eth):
            deliver(story.account_traded("buy"), group=READ_MODELS)

        by_pair = trader.get("/api/v1/trading/trades?pair=ETHUSD").json()["results"]
        assert [trade["pair"] for trade in by_pair] == ["ETHUSD"]
        by_key = trader.get(f"/api/v1/trading/trades?credential_id={xbt.credential_id}").json()["results"]
        assert [trade["pair"] for trade in by_key] == ["XBTUSD"]
        assert trader.get("/api/v1/trading/trades?credential_id=x").status_code == 400


class TestPerformance:
    def test_adds_up_budget_profit_and_what_the_position_is_worth(
        self, world: World, trader: TraderClient, bot: Bot
    ) -> None:
        story = story_of(bot)
        story.traded("buy", volume="0.02", price="10000", fee="0.5")
        story.traded("sell", volume="0.01", price="11000", fee="0.25")
        for envelope in story.envelopes:
            deliver(envelope, group=READ_MODELS)
        world.set_price("12000", START_OF_STORY)

        body = trader.get(f"/api/v1/bot/{bot.id}/performance").json()
        assert body == {
            "bot_id": str(bot.id),
            "pair": "XBTUSD",
            "base_asset": "XBT",
            "quote_asset": "USD",
            "quote_budget": "1000",
            "trades": 2,
            "sales": 1,
            "profitable_sales": 1,
            "position_volume": "0.01",
            "average_price": "10025",
            "last_price": "12000",
            "last_price_as_of": "2026-03-01T12:00:00Z",
            "realised_pnl": "9.5",
            "unrealised_pnl": "19.75",
            "fees": "0.75",
            "equity": "1029.25",
            "equity_curve": [
                {"at": "2026-03-01T12:00:00Z", "price": "10000", "equity": "999.5"},
                {"at": "2026-03-01T12:01:00Z", "price": "11000", "equity": "1019.25"},
            ],
        }

    def test_without_a_price_says_that_it_does_not_know(self, trader: TraderClient, bot: Bot) -> None:
        deliver(story_of(bot).traded("buy"), group=READ_MODELS)

        body = trader.get(f"/api/v1/bot/{bot.id}/performance").json()
        assert (body["last_price"], body["unrealised_pnl"], body["equity"]) == (None, None, None)

    def test_of_a_bot_that_never_traded_is_its_budget(self, trader: TraderClient, bot: Bot) -> None:
        body = trader.get(f"/api/v1/bot/{bot.id}/performance").json()
        assert (body["equity"], body["unrealised_pnl"], body["equity_curve"]) == ("1000", "0", [])


class TestTimeline:
    def start_and_trade(self, trader: TraderClient, bot: Bot) -> tuple[dict[str, Any], Story]:
        """A start over HTTP, and what the bot service publishes because of it."""
        receipt = trader.post(f"/api/v1/bot/{bot.id}/start", headers={"X-Request-ID": new_id().hex}).json()
        command_id = UUID(receipt["id"])
        (command,) = stream_list(aggregate_type="bot", aggregate_id=bot.id)
        story, cause = story_of(bot), command_id
        for message in (
            story.started(command_id=command_id).message(),
            story.traded("buy").message(),
            story.account_traded("buy").message(),
        ):
            with message_context(correlation_id=command.correlation_id, causation_id=cause):
                cause = publish(message, now=timezone.now(), user_id=bot.user_id)  # type: ignore[arg-type]
        return receipt, story

    def test_one_chain_leads_from_the_request_to_the_fill(self, trader: TraderClient, bot: Bot) -> None:
        receipt, _ = self.start_and_trade(trader, bot)

        chain = trader.get(f"/api/v1/bot/{bot.id}/timeline?command_id={receipt['id']}").json()["results"]
        assert [entry["type"] for entry in chain] == [
            "bot.start",
            "bot.started",
            "bot.trade.executed",
            "trade.executed",
        ]
        assert [entry["caused_by"] for entry in chain] == [None, *[entry["event_id"] for entry in chain[:-1]]]
        assert chain[0]["event_id"] == receipt["id"]
        assert len({entry["correlation_id"] for entry in chain}) == 1
        assert chain[2]["title"] == "Bought 0.01 XBT at 10000 USD, fee 0.26."
        assert chain[2]["payload"]["price"] == "10000"

    def test_the_bots_own_story_is_paged_newest_first(self, trader: TraderClient, bot: Bot) -> None:
        self.start_and_trade(trader, bot)

        seen, url = [], f"/api/v1/bot/{bot.id}/timeline?limit=2"
        while url:
            page = trader.get(url).json()
            seen += [entry["type"] for entry in page["results"]]
            url = page["next"]
        assert seen == ["bot.trade.executed", "bot.started", "bot.start"]

    def test_of_a_command_of_another_bot_is_not_found(self, world: World, trader: TraderClient, bot: Bot) -> None:
        receipt, _ = self.start_and_trade(trader, bot)
        other = world.add_bot(trader.user_id)

        assert trader.get(f"/api/v1/bot/{other.id}/timeline?command_id={receipt['id']}").status_code == 404

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=201", "before=x", "command_id=x", "before=99999999999999999999"]
    )
    def test_a_malformed_query_is_400(self, trader: TraderClient, bot: Bot, query: str) -> None:
        assert trader.get(f"/api/v1/bot/{bot.id}/timeline?{query}").status_code == 400


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


def test_amounts_keep_every_digit(world: World, trader: TraderClient) -> None:
    body = definition(world, trader, quote_budget="12345678901234567890.0123456789")
    created = trader.post("/api/v1/bot", body).json()

    assert created["quote_budget"] == "12345678901234567890.0123456789"
    assert Bot.objects.get().quote_budget == Decimal("12345678901234567890.0123456789")
