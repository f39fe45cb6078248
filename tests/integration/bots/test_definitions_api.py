"""Defining bots over HTTP."""

import json
from decimal import Decimal
from typing import Any
from uuid import uuid4

import jsonschema
import pytest
from django.db import connection

from apps.bots import rules
from apps.bots.adapters import Credential
from apps.bots.models import Bot
from apps.core.terms import Mode
from apps.events.consumers.registry import load_consumers
from tests.factories.bots import TraderClient
from tests.integration.bots.conftest import World

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


class TestStrategies:
    def test_come_with_the_json_schema_of_their_parameters(self, trader: TraderClient) -> None:
        results = trader.get("/api/v1/bot/strategies").json()["results"]

        assert {"breakout", "dca", "sma_cross"} <= {each["name"] for each in results}
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
        assert trader.get("/api/v1/bot").json()["results"] == [{**created, "status": None}]

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
            {"credential_id": "mine"},
            {"pair": "XBT USD"},
            {"pair": None},
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
        assert "clone" in response.json()["error"]["details"]["how"]

    @pytest.mark.parametrize("field", ["id", "state", "created_at", "updated_at"])
    def test_what_only_the_answer_has_cannot_be_changed(self, trader: TraderClient, bot: Bot, field: str) -> None:
        response = trader.patch(f"/api/v1/bot/{bot.id}", {"name": "Renamed", field: "x"})
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["details"]["field"]) == (422, "field_is_immutable", field)
        assert trader.get(f"/api/v1/bot/{bot.id}").json()["name"] == bot.name

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
        with django_assert_num_queries(2):
            assert len(trader.get("/api/v1/bot").json()["results"]) == 6


def test_amounts_keep_every_digit(world: World, trader: TraderClient) -> None:
    body = definition(world, trader, quote_budget="123456789012.0123456789")
    created = trader.post("/api/v1/bot", body).json()

    assert created["quote_budget"] == "123456789012.0123456789"
    assert Bot.objects.get().quote_budget == Decimal("123456789012.0123456789")


class TestIntervalsThatTheMarketDoesNotHave:
    REFUSED = (422, "interval_not_offered", "There are no candles of 1 minutes for XBTUSD.")

    @pytest.fixture(autouse=True)
    def hourly_market(self, world: World) -> None:
        world.refused_intervals.add(("paper", "XBTUSD", 1))

    def refusal(self, response: Any) -> tuple[int, str, str]:
        error = response.json()["error"]
        return response.status_code, error["code"], error["message"]

    def test_are_refused_when_a_bot_is_made(self, world: World, trader: TraderClient) -> None:
        response = trader.post("/api/v1/bot", definition(world, trader, interval_minutes=1))
        assert self.refusal(response) == self.REFUSED
        assert response.json()["error"]["details"] == {"pair": "XBTUSD", "interval_minutes": 1}
        assert Bot.objects.count() == 0

    def test_are_refused_when_a_bot_is_changed(self, bot: Bot, trader: TraderClient) -> None:
        response = trader.patch(f"/api/v1/bot/{bot.id}", {"interval_minutes": 1})
        assert self.refusal(response) == self.REFUSED
        bot.refresh_from_db()
        assert (bot.interval_minutes, bot.version) == (60, 1)

    @pytest.mark.parametrize("address", ["/api/v1/bot/{}/start", "/api/v1/bot/start"])
    def test_are_refused_when_a_bot_is_started(
        self, world: World, bot: Bot, trader: TraderClient, address: str
    ) -> None:
        world.refused_intervals.add(("paper", "XBTUSD", 60))
        body = {} if "{}" in address else {"bot_id": str(bot.id)}
        response = trader.post(address.format(bot.id), body)
        assert self.refusal(response)[:2] == (422, "interval_not_offered")
        assert bot.commands.count() == 0

    def test_a_repeated_request_gets_its_first_answer_though_the_market_has_changed(
        self, world: World, trader: TraderClient
    ) -> None:
        body = definition(world, trader)
        first = trader.post("/api/v1/bot", body, headers={"Idempotency-Key": "one"})
        world.refused_intervals.add(("paper", "XBTUSD", 60))
        again = trader.post("/api/v1/bot", body, headers={"Idempotency-Key": "one"})
        assert (first.status_code, again.status_code, again.json()["id"]) == (201, 201, first.json()["id"])
        other = trader.post("/api/v1/bot", body, headers={"Idempotency-Key": "two"})
        assert (other.status_code, Bot.objects.count()) == (422, 1)

    def test_the_market_is_asked_outside_of_the_request_s_transaction(
        self, world: World, trader: TraderClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = []
        own = len(connection.savepoint_ids)
        monkeypatch.setattr(rules, "interval_check", lambda **_: seen.append(len(connection.savepoint_ids) - own))
        trader.post("/api/v1/bot", definition(world, trader), headers={"Idempotency-Key": "one"})
        assert seen == [0]


class TestClone:
    def test_a_clone_has_the_values_of_the_other_but_for_those_that_are_given(
        self, world: World, trader: TraderClient, bot: Bot
    ) -> None:
        trader.post(f"/api/v1/bot/{bot.id}/start")
        key = str(world.add_key(trader.user_id))
        response = trader.post(f"/api/v1/bot/{bot.id}/clone", {"credential_id": key, "quote_budget": "70"})

        assert response.status_code == 201
        clone, original = response.json(), trader.get(f"/api/v1/bot/{bot.id}").json()
        assert response["Location"] == f"/api/v1/bot/{clone['id']}"
        assert clone["id"] != original["id"]
        assert (clone["credential_id"], clone["quote_budget"]) == (key, "70")
        assert (clone["name"], clone["state"], clone["version"]) == (f"{bot.name} (copy)", "stopped", 1)
        same = ("pair", "strategy", "parameters", "interval_minutes", "mode")
        assert {name: clone[name] for name in same} == {name: original[name] for name in same}
        assert original["state"] == "starting"

    def test_its_mode_is_its_keys(self, world: World, trader: TraderClient, bot: Bot, live_trading_on: None) -> None:
        key = str(world.add_key(trader.user_id, mode=Mode.LIVE))
        assert trader.post(f"/api/v1/bot/{bot.id}/clone", {"credential_id": key}).json()["mode"] == "live"

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"pair": "NOPEUSD"}, "unknown_pair"),
            ({"credential_id": str(uuid4())}, "unknown_credential"),
            ({"quote_budget": "0.1"}, "budget_too_small"),
            ({"mode": "live"}, "wrong_mode"),
            ({"colour": "red"}, "unknown_field"),
        ],
    )
    def test_it_is_checked_as_a_new_bot(
        self, world: World, trader: TraderClient, bot: Bot, fields: dict[str, Any], code: str
    ) -> None:
        world.keys[trader.user_id, bot.credential_id] = Credential(bot.credential_id, Mode.PAPER, True)
        response = trader.post(f"/api/v1/bot/{bot.id}/clone", fields)
        assert response.json()["error"]["code"] == code
        assert Bot.objects.count() == 1

    def test_asked_for_twice_under_one_key_it_is_made_once(self, trader: TraderClient, bot: Bot) -> None:
        answers = [
            trader.post(f"/api/v1/bot/{bot.id}/clone", {}, headers={"Idempotency-Key": "once"}).json() for _ in range(2)
        ]
        assert answers[0] == answers[1]
        assert Bot.objects.count() == 2

    def test_what_a_bot_that_has_run_cannot_change_is_refused_with_the_way(
        self, world: World, trader: TraderClient, bot: Bot
    ) -> None:
        trader.post(f"/api/v1/bot/{bot.id}/start")
        response = trader.patch(f"/api/v1/bot/{bot.id}", {"credential_id": str(world.add_key(trader.user_id))})
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (422, "field_is_immutable")
        clone = f"/api/v1/bot/{bot.id}/clone"
        how = f"POST {clone} with another key makes a bot with it."
        assert error["details"] == {"field": "credential_id", "how": how, "clone": clone}
        assert trader.post(error["details"]["clone"], {}).status_code == 201


class TestLimits:
    def test_of_a_new_bot_are_the_defaults_but_for_those_given(self, world: World, trader: TraderClient) -> None:
        body = definition(world, trader, risk={"largest_order_quote": "250", "orders_per_minute": 3})
        created = trader.post("/api/v1/bot", body).json()
        assert created["risk"] == {
            "price_band_fraction": "0.1",
            "largest_order_quote": "250",
            "largest_position_quote": None,
            "orders_per_minute": 3,
            "daily_loss_fraction": "0.2",
            "drawdown_fraction": "0.5",
            "market_data_age_seconds": 10,
        }
        assert Bot.objects.get().config.risk.largest_order_quote == 250

    def test_that_are_left_out_of_a_change_stay(self, world: World, trader: TraderClient) -> None:
        bot_id = trader.post("/api/v1/bot", definition(world, trader, risk={"orders_per_minute": 3})).json()["id"]
        changed = trader.patch(f"/api/v1/bot/{bot_id}", {"risk": {"price_band_fraction": "0.05"}}).json()
        assert (changed["risk"]["orders_per_minute"], changed["risk"]["price_band_fraction"]) == (3, "0.05")
        assert changed["version"] == 2

    @pytest.mark.parametrize(
        ("risk", "status", "code"),
        [
            ({"price_band_fraction": "0"}, 422, "invalid_limits"),
            ({"price_band_fraction": "1.1"}, 422, "invalid_limits"),
            ({"orders_per_minute": 0}, 422, "invalid_limits"),
            ({"largest_order_quote": "-1"}, 422, "invalid_limits"),
            ({"largest_oder_quote": "1"}, 400, "unknown_field"),
            ({"daily_loss_fraction": None}, 400, "malformed"),
            ([], 400, "wrong_type"),
        ],
    )
    def test_that_make_no_sense_are_refused(
        self, world: World, trader: TraderClient, risk: Any, status: int, code: str
    ) -> None:
        response = trader.post("/api/v1/bot", definition(world, trader, risk=risk))
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
        assert Bot.objects.count() == 0
