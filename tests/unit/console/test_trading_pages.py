"""The trading pages in front of a scripted API: what they show, what they ask, and what they make of refusals."""

import json
from typing import Any

import httpx
import pytest
from django.test import Client

from tests.unit.console.conftest import FakeApi
from tests.unit.console.trading import (
    AT,
    BOT_ID,
    COMMAND_ID,
    KEY_ID,
    NOTHING,
    ORDER_ID,
    bot,
    halt,
    order,
    page,
    receipt,
    script_bot,
    script_form,
    script_overview,
    status,
)

BOT = f"/app/bots/{BOT_ID}"
NEW = "/app/bots/new/dca"


def text_of(answer: Any) -> str:
    return str(answer.content.decode())


def sent(api: FakeApi, method: str, path: str) -> tuple[dict[str, Any], str]:
    """The body and the Idempotency-Key of the one call."""
    [request] = api.calls(method, path)
    return json.loads(request.content or b"{}"), request.headers.get("Idempotency-Key", "")


class TestOverview:
    def test_has_one_call_a_panel_however_many_bots_there_are(self, trader: Client, api: FakeApi) -> None:
        script_overview(api)
        api.on("GET", "bot", page(*({**bot(), "status": status()} for _ in range(50))))
        shown = text_of(trader.get("/app/"))
        assert len(api.asked) == 5
        assert shown.count("Follower &lt;1&gt;") == 50

    def test_money_has_its_currency_and_each_digit_in_its_value(self, trader: Client, api: FakeApi) -> None:
        script_overview(api)
        shown = text_of(trader.get("/app/"))
        assert 'value="-1234.5678901234" title="-1234.5678901234 USD">−1,234.57 <span class="unit">USD</span>' in shown
        assert '<span class="badge paper">Paper</span>' in shown

    def test_a_service_that_is_down_leaves_the_other_panels(self, trader: Client, api: FakeApi) -> None:
        script_overview(api)
        api.on("GET", "bot/alerts", {"error": {"code": "dependency_unavailable", "message": "No."}}, status=503)
        shown = text_of(trader.get("/app/"))
        assert "cannot be reached at the moment" in shown
        assert "Follower &lt;1&gt;" in shown

    def test_a_trader_without_bots_is_told_the_next_step(self, trader: Client, api: FakeApi) -> None:
        script_overview(api)
        api.on("GET", "bot", NOTHING)
        assert "/app/bots/new" in text_of(trader.get("/app/"))

    def test_a_panel_is_one_call_and_no_page(self, trader: Client, api: FakeApi) -> None:
        api.on("GET", "trading/halts", page(halt(), halt(set_by="staff")))
        shown = text_of(trader.get("/app/panels/halts", headers={"HX-Request": "true"}))
        assert len(api.asked) == 1
        assert "<html" not in shown
        assert shown.count("/lift") == 1  # only what the trader set

    def test_a_panel_that_cannot_be_had_is_no_content(self, trader: Client, api: FakeApi) -> None:
        api.on("GET", "trading/halts", {"error": {"code": "x", "message": "No."}}, status=503)
        assert trader.get("/app/panels/halts").status_code == 204

    def test_a_lifted_halt_is_asked_for_once_with_the_key_of_its_form(self, trader: Client, api: FakeApi) -> None:
        api.on("DELETE", f"trading/halts/{COMMAND_ID}", None, status=204)
        answer = trader.post(f"/app/halts/{COMMAND_ID}/lift", {"idempotency_key": "k1"})
        assert (answer.status_code, sent(api, "DELETE", f"trading/halts/{COMMAND_ID}")[1]) == (303, "k1")


class TestStopAll:
    def test_leads_to_its_progress(self, trader: Client, api: FakeApi) -> None:
        api.on("POST", "bot/stop-all", {"results": [receipt()]}, status=202)
        answer = trader.post("/app/stop-all", {"manner": "stop", "idempotency_key": "k1"})
        assert sent(api, "POST", "bot/stop-all") == ({"manner": "stop"}, "k1")
        assert answer.headers["Location"] == "/app/?stopped=2026-03-01T12%3A00%3A00%2B00%3A00"

    def test_is_going_on_until_the_end_of_every_order_is_proved(self, trader: Client, api: FakeApi) -> None:
        ended = {"outcome": "complete", "is_final": True, "code": "", "message": "", "orders": []}
        unproved = {**ended, "outcome": "incomplete", "is_final": False}
        api.on("GET", "bot/commands", page(receipt(state="done", result=unproved), receipt(state="done", result=ended)))
        address = f"/app/panels/stopping?stopped={AT}"
        shown = text_of(trader.get(address))
        assert 'data-progress="going">1 of 2 bots' in shown

        api.on("GET", "bot/commands", page(receipt(state="done", result=ended), receipt(kind="start")))
        shown = text_of(trader.get(address))
        assert 'data-progress="over">Every bot has stopped, and the end of each order is proved.' in shown

    def test_without_an_answer_says_that_it_is_not_known(self, trader: Client, api: FakeApi) -> None:
        script_overview(api)
        api.on("POST", "bot/stop-all", {"error": {"code": "gateway_timeout", "message": "No."}}, status=503)
        trader.post("/app/stop-all", {"idempotency_key": "k1"})
        assert "is not known" in text_of(trader.get("/app/"))

    def test_a_time_that_is_none_shows_no_progress(self, trader: Client, api: FakeApi) -> None:
        script_overview(api)
        for text in ("yesterday", "2026-99-99T00:00:00Z"):
            assert "panel-stopping" not in text_of(trader.get("/app/", {"stopped": text}))


class TestBot:
    def test_shows_orders_receipts_and_figures(self, trader: Client, api: FakeApi) -> None:
        script_bot(api)
        shown = text_of(trader.get(BOT))
        assert len(api.asked) == 6
        assert 'data-line="buy" data-price="30000.1"' in shown
        assert 'data-line="average" data-price="30010.0123456789"' in shown
        assert 'data-receipt="stop" data-over="false"' in shown
        assert "mode-paper" in shown

    def test_of_somebody_else_is_not_there(self, trader: Client, api: FakeApi) -> None:
        script_bot(api)
        api.refuse("GET", f"bot/{BOT_ID}", 404, "bot_not_found")
        assert trader.get(BOT).status_code == 404

    def test_a_command_is_sent_with_the_key_of_its_form_and_leads_to_its_receipt(
        self, trader: Client, api: FakeApi
    ) -> None:
        api.on("POST", f"bot/{BOT_ID}/start", receipt(kind="start"), status=202)
        answer = trader.post(f"{BOT}/start", {"idempotency_key": "k1"})
        assert sent(api, "POST", f"bot/{BOT_ID}/start")[1] == "k1"
        assert answer.headers["Location"] == f"{BOT}#receipts"

    def test_a_conflict_stands_on_the_page(self, trader: Client, api: FakeApi) -> None:
        script_bot(api)
        api.refuse("POST", f"bot/{BOT_ID}/start", 409, "bot_already_running")
        answer = trader.post(f"{BOT}/start", {"idempotency_key": "k1"})
        assert answer.status_code == 200
        assert '<div class="note bad" role="alert"><div><p>bot_already_running.</p>' in text_of(answer)

    def test_a_trade_that_is_refused_stands_at_its_field_with_what_was_typed(
        self, trader: Client, api: FakeApi
    ) -> None:
        script_bot(api)
        api.refuse("POST", f"bot/{BOT_ID}/trigger-trade", 422, "amount_too_large")
        answer = trader.post(f"{BOT}/trade", {"side": "buy", "quote_amount": "12,5", "idempotency_key": "k1"})
        assert sent(api, "POST", f"bot/{BOT_ID}/trigger-trade")[0] == {"side": "buy", "quote_amount": "12.5"}
        form = answer.context["trade_now"]
        assert form["quote_amount"].errors == ["amount_too_large."]
        assert form["quote_amount"].value() == "12,5"
        assert form["idempotency_key"].value() != "k1"

    def test_an_unmet_gate_says_how_to_meet_it(self, trader: Client, api: FakeApi) -> None:
        script_bot(api, mode="live")
        gates = [{"gate": "mfa", "how_to_meet": "Set it up."}]
        api.refuse("POST", f"bot/{BOT_ID}/start", 403, "live_gate_unmet", gates=gates)
        assert "Set it up." in text_of(trader.post(f"{BOT}/start"))

    def test_a_step_up_alone_is_asked_for_at_once(self, trader: Client, api: FakeApi) -> None:
        gates = [{"gate": "step_up", "how_to_meet": "Prove it."}]
        api.refuse("POST", f"bot/{BOT_ID}/start", 403, "live_gate_unmet", gates=gates)
        assert trader.post(f"{BOT}/start").templates[0].name == "console/step_up.html"

    def test_a_verb_that_is_none_is_not_there(self, trader: Client, api: FakeApi) -> None:
        assert trader.post(f"{BOT}/explode").status_code == 404
        assert api.asked == []

    def test_its_deletion_asks_what_becomes_of_its_coins(self, trader: Client, api: FakeApi) -> None:
        api.on("GET", f"bot/{BOT_ID}", bot())
        api.refuse("DELETE", f"bot/{BOT_ID}", 409, "bot_holds_position")
        assert 'name="abandon"' in text_of(trader.post(f"{BOT}/delete"))
        api.on("DELETE", f"bot/{BOT_ID}", None, status=204)
        api.asked.clear()
        assert trader.post(f"{BOT}/delete", {"abandon": "on"}).status_code == 303
        assert dict(api.calls("DELETE", f"bot/{BOT_ID}")[0].url.params) == {"abandon": "true"}


class TestChart:
    def test_candles_keep_the_text_of_their_amounts(self, trader: Client, api: FakeApi) -> None:
        candle = {"time": AT, "open": "1.10", "high": "2", "low": "0.1", "close": "0.30000000000001", "volume": "5"}
        answer = {
            "pair": "XBTUSD", "interval_minutes": 60, "candles": [candle], "forming": None, "next": "http://x/",
            "as_of": AT, "stale": False, "synthetic": True,
        }  # fmt: skip
        api.on("GET", "trading/ohlc", answer)
        shown = trader.get(f"{BOT}/candles", {"pair": "XBTUSD", "interval": "60", "before": "1772366400"}).json()
        assert shown["candles"] == [[1772366400, "1.10", "2", "0.1", "0.30000000000001", "5"]]
        assert shown["has_older"] is True
        assert dict(api.asked[0].url.params)["before"] == "2026-03-01T12:00:00+00:00"

    @pytest.mark.parametrize("before", ["99999999999999999999", "x", "-1", ""])
    def test_a_time_that_is_none_is_left_out(self, trader: Client, api: FakeApi, before: str) -> None:
        api.refuse("GET", "trading/ohlc", 404, "unknown_pair")
        answer = trader.get(f"{BOT}/candles", {"pair": "XBTUSD", "interval": "60", "before": before})
        assert answer.status_code == 204
        assert "before" not in dict(api.asked[0].url.params)


FORM = {
    "name": "Mine", "credential_id": KEY_ID, "pair": "XBTUSD", "interval_minutes": "60", "quote_budget": "1000",
    "parameters.every_candles": "12", "parameters.quote_amount": "50,5", "idempotency_key": "k1",
}  # fmt: skip


class TestForm:
    def test_is_made_from_the_schema_and_says_when_the_strategy_loses(self, trader: Client, api: FakeApi) -> None:
        script_form(api)
        shown = text_of(trader.get(NEW))
        assert 'name="parameters.every_candles" value="24"' in shown
        assert 'name="parameters.is_eager"' in shown
        assert "Candles between two purchases. From 1 to 700." in shown
        assert "the price goes down." in shown

    def test_sends_amounts_as_text_and_numbers_as_numbers(self, trader: Client, api: FakeApi) -> None:
        script_form(api)
        api.on("POST", "bot", bot(), status=201)
        assert trader.post(NEW, FORM).headers["Location"] == BOT
        assert sent(api, "POST", "bot") == (
            {
                "name": "Mine", "credential_id": KEY_ID, "pair": "XBTUSD", "interval_minutes": 60,
                "quote_budget": "1000", "strategy": "dca",
                "parameters": {"every_candles": 12, "quote_amount": "50.5", "is_eager": False},
                "risk": {"largest_order_quote": None, "largest_position_quote": None},
            },
            "k1",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("refusal", "details", "field"),
        [
            ((422, "invalid_parameters"), {"parameters": {"quote_amount": "too small"}}, "parameters.quote_amount"),
            ((422, "budget_too_small"), {}, "quote_budget"),
            ((422, "invalid_limits"), {"limits": {"orders_per_minute": "too many"}}, "risk.orders_per_minute"),
            ((400, "malformed"), {"fields": {"risk": {"drawdown_fraction": ["No."]}}}, "risk.drawdown_fraction"),
            ((422, "field_is_immutable"), {"field": "pair"}, "pair"),
            ((409, "too_many_bots"), {"bots": 100, "limit": 100}, None),
        ],
    )
    def test_a_refusal_stands_at_its_field_and_nothing_typed_is_lost(
        self, trader: Client, api: FakeApi, refusal: tuple[int, str], details: Any, field: str | None
    ) -> None:
        script_form(api)
        api.refuse("POST", "bot", *refusal, **details)
        form = trader.post(NEW, FORM).context["form"]
        assert list(form.errors) == [field or "__all__"]
        assert form["name"].value() == "Mine"
        assert form["idempotency_key"].value() != "k1"

    def test_what_is_no_whole_number_is_not_sent(self, trader: Client, api: FakeApi) -> None:
        script_form(api)
        form = trader.post(NEW, {**FORM, "parameters.every_candles": "5.5"}).context["form"]
        assert list(form.errors) == ["parameters.every_candles"]
        assert api.calls("POST", "bot") == []

    def test_without_an_answer_the_same_key_is_sent_again(self, trader: Client, api: FakeApi) -> None:
        script_form(api)
        api.on("POST", "bot", {"error": {"code": "gateway_timeout", "message": "No."}}, status=503)
        form = trader.post(NEW, FORM).context["form"]
        assert form["idempotency_key"].value() == "k1"

    def test_a_change_in_another_tab_is_not_overwritten(self, trader: Client, api: FakeApi) -> None:
        script_form(api)
        api.refuse("PATCH", f"bot/{BOT_ID}", 409, "bot_changed_meanwhile")
        answer = trader.post(f"{BOT}/edit", {**FORM, "version": "2"})
        assert sent(api, "PATCH", f"bot/{BOT_ID}")[0]["version"] == 2
        assert "perhaps in another tab" in text_of(answer)

    def test_a_clone_has_the_values_of_the_bot(self, trader: Client, api: FakeApi) -> None:
        script_form(api)
        shown = text_of(trader.get(f"{BOT}/clone"))
        assert 'value="Follower &lt;1&gt; (copy)"' in shown
        assert 'name="parameters.quote_amount" value="50.10"' in shown

    def test_a_strategy_that_there_is_not_is_not_found(self, trader: Client, api: FakeApi) -> None:
        script_form(api)
        assert trader.get("/app/bots/new/magic").status_code == 404


class TestLists:
    def test_filters_are_the_apis_and_times_have_a_zone(self, trader: Client, api: FakeApi) -> None:
        api.on("GET", "trading/orders", page(order(state="filled"), older="http://x/?cursor=older"))
        api.on("GET", "bot", NOTHING)
        query = {"state": "filled", "since": "2026-03-01T13:00", "side": "", "bot_id": BOT_ID}
        shown = text_of(trader.get("/app/orders", query))
        asked = dict(api.calls("GET", "trading/orders")[0].url.params)
        assert asked == {"limit": "50", "state": "filled", "since": "2026-03-01T13:00:00+01:00", "bot_id": BOT_ID}
        assert "cursor=older" in shown
        assert "state=filled" in shown

    def test_an_order_has_its_evidence(self, trader: Client, api: FakeApi) -> None:
        step = {
            "type": "bot.order.opened", "state": "open", "code": "", "filled_volume": "0", "at": AT,
            "evidence": [{"exchange": "<said>"}],
        }  # fmt: skip
        api.on("GET", f"trading/orders/{ORDER_ID}", {**order(), "history": [step], "trades": []})
        assert "&lt;said&gt;" in text_of(trader.get(f"/app/orders/{ORDER_ID}"))

    @pytest.mark.parametrize("path", ["/app/orders", "/app/trades", "/app/alerts"])
    def test_an_empty_list_says_so(self, trader: Client, api: FakeApi, path: str) -> None:
        for name in ("trading/orders", "trading/trades", "bot/alerts", "bot"):
            api.on("GET", name, NOTHING)
        assert 'class="empty"' in text_of(trader.get(path))

    def test_the_portfolio_says_what_is_no_bots(self, trader: Client, api: FakeApi) -> None:
        asset = {"asset": "USD", "total": "10000", "bots_cash": "1500.25", "bots_coins": "0",
                 "unallocated": "8499.75", "dust": "0", "drift": "-0.1"}  # fmt: skip
        account = {"credential_id": KEY_ID, "label": "Main", "mode": "paper", "compared_at": AT, "assets": [asset]}
        empty = {"trades": 0, "last_trade_at": None, "holdings": [], "totals": [], "accounts": [account]}
        api.on("GET", "trading/portfolio", empty)
        shown = text_of(trader.get("/app/portfolio"))
        assert 'value="8499.75"' in shown
        assert "differs by" in shown


def test_a_session_that_has_ended_leads_to_the_log_in(trader: Client, api: FakeApi) -> None:
    def ended(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"error": {"code": "session_ended", "message": "Over.", "details": {}}})

    script_overview(api)
    for call in list(api.answers):
        api.answers[call] = [ended]
    api.refuse("POST", "auth/refresh", 401, "invalid_token")
    assert trader.get("/app/").status_code == 303
