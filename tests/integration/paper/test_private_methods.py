"""Private methods: authentication, answers, and error texts."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from apps.paper import selectors, services
from apps.paper.models import ApiKey, KeyFailure, Order
from apps.paper.services import keys
from apps.paper.services.accounts import key_secret
from tests.integration.paper.conftest import OpenAccount
from tests.integration.paper.wire import FORM, JSON, Wire

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("paper_exchange.urls"),
    pytest.mark.usefixtures("flat_market"),
]

LIMIT = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.5", "price": "990"}
MARKET = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.5"}
TXID = re.compile(r"O[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{6}")


@pytest.fixture
def wire(client: Client, open_account: OpenAccount) -> Wire:
    return Wire.of(client, open_account(usd="10000", btc="1"))


class TestWhoMayCall:
    def test_a_signed_call_is_answered(self, wire: Wire) -> None:
        assert wire.call("Balance") == {"XXBT": "1.0000000000", "ZUSD": "10000.0000"}

    def test_an_unknown_key(self, wire: Wire) -> None:
        wire.key = "unknown"
        assert wire.error("Balance") == "EAPI:Invalid key"

    def test_no_key_at_all(self, client: Client, wire: Wire) -> None:
        assert client.post("/0/private/Balance", "nonce=1", content_type=FORM).json() == {"error": ["EAPI:Invalid key"]}

    def test_another_body_than_was_signed(self, wire: Wire) -> None:
        body = wire.raw("Balance", "nonce=5&x=1", nonce="5", **{"API-Sign": "AAAA"})

        assert body == {"error": ["EAPI:Invalid signature"]}
        assert ApiKey.objects.get().nonce == 0

    def test_a_replayed_call(self, wire: Wire) -> None:
        assert wire.raw("Balance", "nonce=5", nonce="5")["error"] == []
        assert wire.raw("Balance", "nonce=5", nonce="5") == {"error": ["EAPI:Invalid nonce"]}
        assert wire.raw("Balance", "nonce=4", nonce="4") == {"error": ["EAPI:Invalid nonce"]}
        assert wire.raw("Balance", "nonce=6", nonce="6")["error"] == []

    @pytest.mark.parametrize("nonce", ["0", "-1", "1.5", "abc", str(2**64)])
    def test_a_nonce_that_is_not_an_unsigned_64_bit_number_above_the_last(self, wire: Wire, nonce: str) -> None:
        assert wire.raw("Balance", f"nonce={nonce}", nonce=nonce) == {"error": ["EAPI:Invalid nonce"]}

    def test_the_largest_nonce_is_taken(self, wire: Wire) -> None:
        assert wire.raw("Balance", f"nonce={2**64 - 1}", nonce=str(2**64 - 1))["error"] == []

    def test_a_call_without_a_nonce(self, wire: Wire) -> None:
        assert wire.raw("Balance", "x=1", nonce="") == {"error": ["EAPI:Invalid nonce"]}

    def test_a_nonce_is_spent_even_if_the_call_is_refused(self, wire: Wire) -> None:
        assert wire.raw("AddOrder", "nonce=9", nonce="9")["error"] == ["EGeneral:Invalid arguments:volume"]
        assert wire.raw("Balance", "nonce=9", nonce="9") == {"error": ["EAPI:Invalid nonce"]}

    def test_repeated_failures_lock_the_key_even_for_good_calls(self, wire: Wire) -> None:
        good, wire.secret = wire.secret, "bm90IHRoZSBzZWNyZXQ="
        errors = [wire.error("Balance") for _ in range(keys.FAILURES)]
        wire.secret = good

        assert set(errors) == {"EAPI:Invalid signature"}
        assert wire.error("Balance") == "EGeneral:Temporary lockout"
        KeyFailure.objects.update(locked_until=None)
        assert wire.call("Balance")

    def test_another_key_is_not_locked_with_it(self, client: Client, wire: Wire, open_account: OpenAccount) -> None:
        other = Wire.of(client, open_account())
        wire.secret = "bm90IHRoZSBzZWNyZXQ="
        for _ in range(keys.FAILURES):
            wire.error("Balance")

        assert other.call("Balance")

    @pytest.mark.parametrize(
        ("method", "needed"),
        [
            ("Balance", {"query-funds"}),
            ("BalanceEx", {"query-funds"}),
            ("TradeBalance", {"query-funds"}),
            ("TradeVolume", {"query-funds"}),
            ("OpenOrders", {"query-open-trades"}),
            ("ClosedOrders", {"query-closed-trades"}),
            ("QueryOrders", {"query-open-trades", "query-closed-trades"}),
            ("TradesHistory", {"query-closed-trades"}),
            ("QueryTrades", {"query-closed-trades"}),
            ("Ledgers", {"query-ledger"}),
            ("AddOrder", {"modify-trades"}),
            ("AmendOrder", {"modify-trades", "close-trades"}),
            ("CancelOrder", {"modify-trades", "close-trades"}),
            ("CancelAll", {"modify-trades", "close-trades"}),
            ("CancelAllOrdersAfter", {"modify-trades", "close-trades"}),
        ],
    )
    def test_a_key_may_do_what_its_permissions_say(self, wire: Wire, method: str, needed: set[str]) -> None:
        everything = set(services.accounts.PERMISSIONS)
        ApiKey.objects.update(permissions=sorted(everything - needed))
        assert wire.error(method) == "EGeneral:Permission denied"

        ApiKey.objects.update(permissions=[min(needed)])
        assert "EGeneral:Permission denied" not in wire.answer(method)["error"]

    def test_key_info_needs_no_permission_and_shows_that_nothing_can_be_withdrawn(self, wire: Wire) -> None:
        info = wire.call("GetApiKeyInfo")

        assert info["permissions"] == list(services.accounts.PERMISSIONS)
        assert not any("withdraw" in permission for permission in info["permissions"])
        assert (info["apiKeyName"], info["nonceWindow"], info["validUntil"], info["ipAllowlist"]) == (
            "test",
            "0",
            "0",
            [],
        )

    @pytest.mark.parametrize("method", ["GetWebSocketsToken", "Withdraw", "AddOrderBatch", "Time"])
    def test_what_is_not_offered_is_an_unknown_method(self, wire: Wire, method: str) -> None:
        assert wire.error(method) == "EGeneral:Unknown method"

    def test_secrets_are_sealed_at_rest(self, wire: Wire) -> None:
        row = ApiKey.objects.get()

        assert wire.secret.encode() not in bytes(row.secret_ciphertext)
        assert key_secret(row) == wire.secret


class TestAddOrder:
    def test_the_answer_has_description_and_txid_and_nothing_else(self, wire: Wire) -> None:
        answer = wire.call("AddOrder", **LIMIT)

        assert answer["descr"] == {"order": "buy 0.50000000 XBTUSD @ limit 990.0"}
        assert set(answer) == {"descr", "txid"}
        assert TXID.fullmatch(answer["txid"][0])

    def test_a_market_order_is_described_without_a_price(self, wire: Wire) -> None:
        assert wire.call("AddOrder", **MARKET)["descr"] == {"order": "buy 0.50000000 XBTUSD @ market"}

    @pytest.mark.parametrize("text", ["true", "True", "1"])
    def test_validate_checks_the_terms_alone_and_places_nothing(self, wire: Wire, text: str) -> None:
        answer = wire.call("AddOrder", **{**LIMIT, "volume": "100", "validate": text})

        assert answer == {"descr": {"order": "buy 100.00000000 XBTUSD @ limit 990.0"}}
        assert (
            wire.error("AddOrder", **{**LIMIT, "volume": "0.00001", "validate": text}) == "EOrder:Order minimum not met"
        )
        assert Order.objects.count() == 0

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"pair": "XBTEUR"}, "EQuery:Unknown asset pair"),
            ({"type": "hold"}, "EGeneral:Invalid arguments:type"),
            ({"ordertype": "stop-loss"}, "EGeneral:Invalid arguments:ordertype"),
            ({"volume": ""}, "EGeneral:Invalid arguments:volume"),
            ({"volume": "nan"}, "EGeneral:Invalid arguments:volume"),
            ({"volume": "0.00004"}, "EOrder:Order minimum not met"),
            ({"price": "990.01"}, "EOrder:Tick size check failed"),
            ({"price": "0.1"}, "EOrder:Cost minimum not met"),
            ({"volume": "11"}, "EOrder:Insufficient funds"),
            ({"leverage": "2:1"}, "EGeneral:Invalid arguments:leverage"),
            ({"oflags": "viqc"}, "EGeneral:Invalid arguments:oflags"),
            ({"oflags": "fcib"}, "EGeneral:Invalid arguments:oflags"),
            ({"starttm": "+60"}, "EGeneral:Invalid arguments:starttm"),
            ({"close[ordertype]": "limit"}, "EGeneral:Invalid arguments:close[ordertype]"),
            ({"reduce_only": "true"}, "EGeneral:Invalid arguments:reduce_only"),
            ({"userref": "5", "cl_ord_id": "a"}, "EGeneral:Invalid arguments:cl_ord_id"),
            ({"userref": "99999999999"}, "EGeneral:Invalid arguments:userref"),
            ({"timeinforce": "GTX"}, "EGeneral:Invalid arguments:timeinforce"),
            ({"timeinforce": "GTD"}, "EGeneral:Invalid arguments:expiretm"),
            ({"expiretm": "1"}, "EGeneral:Invalid arguments:expiretm"),
            ({"deadline": "2020-01-01T00:00:00Z"}, "EService:Deadline elapsed"),
            ({"deadline": "2099-01-01T00:00:00Z"}, "EGeneral:Invalid arguments:deadline"),
            ({"validate": "maybe"}, "EGeneral:Invalid arguments:validate"),
        ],
    )
    def test_what_is_wrong_is_said_in_krakens_words(self, wire: Wire, changes: dict[str, str], error: str) -> None:
        assert wire.error("AddOrder", **{**LIMIT, **changes}) == error
        assert Order.objects.count() == 0

    def test_a_duplicate_client_order_id_is_named(self, wire: Wire) -> None:
        wire.call("AddOrder", **LIMIT, cl_ord_id="mine")

        assert "cl_ord_id" in wire.error("AddOrder", **LIMIT, cl_ord_id="mine")

    def test_a_json_body_is_taken_like_a_form(self, wire: Wire) -> None:
        body = json.dumps({**LIMIT, "volume": 0.5, "validate": False, "nonce": 7})

        answer = wire.raw("AddOrder", body, nonce="7", content_type=JSON)

        assert answer["result"]["descr"] == {"order": "buy 0.50000000 XBTUSD @ limit 990.0"}

    @pytest.mark.parametrize("body", ["{", "[]", '{"nonce": 3, "pair": {"a": 1}}'])
    def test_a_broken_body_is_refused(self, wire: Wire, body: str) -> None:
        (error,) = wire.raw("AddOrder", body, nonce="3", content_type=JSON)["error"]

        assert error.startswith(("EGeneral:Invalid arguments", "EAPI:"))

    def test_bytes_that_are_no_text_are_refused(self, client: Client) -> None:
        response = client.post("/0/private/Balance", b"\xff\xfe", content_type=FORM)

        assert response.json() == {"error": ["EGeneral:Invalid arguments"]}

    def test_a_body_beyond_64_kib_is_refused_unread(self, wire: Wire) -> None:
        body = "nonce=3&pair=" + "A" * 70_000

        assert wire.raw("Balance", body, nonce="3") == {"error": ["EGeneral:Invalid arguments"]}


class TestReading:
    def test_an_open_order_in_krakens_fields(self, wire: Wire) -> None:
        txid = wire.call("AddOrder", **LIMIT, cl_ord_id="mine", oflags="post")["txid"][0]

        order = wire.call("OpenOrders", cl_ord_id="mine")["open"][txid]

        assert isinstance(order.pop("opentm"), float)
        assert order == {
            "refid": None,
            "userref": 0,
            "cl_ord_id": "mine",
            "status": "open",
            "starttm": 0,
            "expiretm": 0,
            "descr": {
                "pair": "XBTUSD",
                "type": "buy",
                "ordertype": "limit",
                "price": "990.0",
                "price2": "0",
                "leverage": "none",
                "order": "buy 0.50000000 XBTUSD @ limit 990.0",
                "close": "",
            },
            "vol": "0.50000000",
            "vol_exec": "0.00000000",
            "cost": "0.00000",
            "fee": "0.00000",
            "price": "0.00000",
            "stopprice": "0.00000",
            "limitprice": "0.00000",
            "misc": "",
            "oflags": "post,fciq",
            "reason": None,
        }
        assert wire.call("OpenOrders", cl_ord_id="other") == {"open": {}}

    def test_balances_show_what_is_held(self, wire: Wire) -> None:
        wire.call("AddOrder", **LIMIT)

        assert wire.call("BalanceEx") == {
            "XXBT": {"balance": "1.0000000000", "hold_trade": "0.0000000000"},
            "ZUSD": {"balance": "10000.0000", "hold_trade": "496.9800"},
        }
        assert wire.call("Balance")["ZUSD"] == "10000.0000"

    def test_a_done_order_with_its_trades_and_ledger(self, wire: Wire) -> None:
        txid = wire.call("AddOrder", **MARKET)["txid"][0]

        order = wire.call("QueryOrders", txid=txid, trades="True")[txid]
        assert (order["status"], order["vol_exec"], order["cost"], order["fee"], order["price"]) == (
            "closed",
            "0.50000000",
            "500.05000",
            "2.00020",
            "1000.1",
        )
        assert order["closetm"] >= order["opentm"]

        history = wire.call("TradesHistory")
        (trade_txid,) = order["trades"]
        trade = history["trades"][trade_txid]
        assert history["count"] == 1
        assert (trade["ordertxid"], trade["pair"], trade["price"], trade["vol"], trade["maker"]) == (
            txid,
            "XXBTZUSD",
            "1000.10000",
            "0.50000000",
            False,
        )
        assert wire.call("QueryTrades", txid=trade_txid) == {trade_txid: trade}

        ledger = wire.call("Ledgers", type="trade")
        assert ledger["count"] == 2
        assert {
            entry["asset"]: (entry["amount"], entry["fee"], entry["balance"]) for entry in ledger["ledger"].values()
        } == {
            "XXBT": ("0.5000000000", "0.0000000000", "1.5000000000"),
            "ZUSD": ("-500.0500", "2.0002", "9497.9498"),
        }
        assert {entry["refid"] for entry in ledger["ledger"].values()} == {trade_txid}
        assert wire.call("Ledgers", asset="XBT", type="deposit")["count"] == 1

    def test_closed_orders_are_found_by_reference_and_time(self, wire: Wire) -> None:
        done = wire.call("AddOrder", **MARKET, cl_ord_id="done")["txid"][0]
        wire.call("AddOrder", **LIMIT, cl_ord_id="gone")
        assert wire.call("CancelOrder", cl_ord_id="gone") == {"count": 1}

        answer = wire.call("ClosedOrders")
        assert answer["count"] == 2
        assert list(wire.call("ClosedOrders", cl_ord_id="done")["closed"]) == [done]
        gone = wire.call("ClosedOrders", cl_ord_id="gone", closetime="both", start=1)["closed"]
        assert [(order["status"], order["reason"]) for order in gone.values()] == [("canceled", "User requested")]
        closed_at = answer["closed"][done]["closetm"]
        assert done not in wire.call("ClosedOrders", start=f"{closed_at:.6f}", closetime="close")["closed"]
        assert list(wire.call("ClosedOrders", end=f"{closed_at:.6f}", closetime="close")["closed"]) == [done]
        assert "count" not in wire.call("ClosedOrders", without_count="true")

    def test_histories_come_in_pages_of_fifty(self, wire: Wire) -> None:
        for _ in range(52):
            wire.call("AddOrder", **{**MARKET, "volume": "0.001"})

        first, second = wire.call("ClosedOrders"), wire.call("ClosedOrders", ofs=50)
        assert [len(first["closed"]), len(second["closed"]), first["count"]] == [50, 2, 52]
        assert not set(first["closed"]) & set(second["closed"])
        assert len(wire.call("TradesHistory", ofs=50)["trades"]) == 2
        newest = next(iter(first["closed"]))
        assert wire.call("TradesHistory", start=newest)["count"] == 0

    def test_orders_are_asked_by_repeated_or_joined_txids(self, wire: Wire) -> None:
        txids = [wire.call("AddOrder", **LIMIT)["txid"][0] for _ in range(2)]

        assert set(wire.call("QueryOrders", txid=",".join(txids))) == set(txids)
        body = "&".join([*(f"txid={txid}" for txid in txids), "nonce=900"])
        assert set(wire.raw("QueryOrders", body, nonce="900")["result"]) == set(txids)

    @pytest.mark.parametrize(
        ("method", "txid", "error"),
        [
            ("QueryOrders", "OAAAAA-BBBBB-CCCCCC", "EOrder:Unknown order"),
            ("QueryOrders", "A", "EOrder:Invalid order"),
            ("CancelOrder", "OAAAAA-BBBBB-CCCCCC", "EOrder:Unknown order"),
            ("CancelOrder", "A", "EOrder:Invalid order"),
            ("AmendOrder", "OAAAAA-BBBBB-CCCCCC", "EOrder:Unknown order"),
        ],
    )
    def test_orders_that_are_not_there(self, wire: Wire, method: str, txid: str, error: str) -> None:
        assert wire.error(method, txid=txid, **({"order_qty": "1"} if method == "AmendOrder" else {})) == error

    def test_the_trade_volume_gives_the_fees(self, wire: Wire) -> None:
        wire.call("AddOrder", **MARKET)

        assert wire.call("TradeVolume") == {"currency": "ZUSD", "volume": "500.0500"}
        answer = wire.call("TradeVolume", pair="XBTUSD", fee_schedule="true")
        assert answer["fees"]["XXBTZUSD"] == {
            "fee": "0.4000",
            "minfee": "0.1000",
            "maxfee": "0.4000",
            "nextfee": "0.3500",
            "nextvolume": "10000.0000",
            "tiervolume": "0.0000",
        }
        assert answer["fees_maker"]["XXBTZUSD"]["fee"] == "0.2500"
        assert answer["schedules"][0]["tiers"][:2] == [
            {"maker_fee": "0.2500", "taker_fee": "0.4000", "active": True},
            {"maker_fee": "0.2000", "taker_fee": "0.3500", "min_spot_volume": "10000.0000"},
        ]
        assert (
            wire.error("TradeVolume", pair="XBTUSD", fee_schedule="True") == "EGeneral:Invalid arguments:fee_schedule"
        )

    def test_the_trade_balance_is_all_at_market_prices(self, wire: Wire) -> None:
        assert wire.call("TradeBalance")["eb"] == "11000.0000"
        assert wire.call("TradeBalance", asset="XXBT")["eb"] == "11.0000"
        assert wire.error("TradeBalance", asset="nothing") == "EQuery:Unknown asset"

    def test_an_order_is_amended_under_its_own_txid(self, wire: Wire) -> None:
        txid = wire.call("AddOrder", **LIMIT, cl_ord_id="mine")["txid"][0]

        assert set(wire.call("AmendOrder", cl_ord_id="mine", order_qty="0.6", limit_price="980")) == {"amend_id"}
        order = wire.call("OpenOrders")["open"][txid]
        assert (order["vol"], order["descr"]["price"], order["misc"]) == ("0.60000000", "980.0", "amended")

    def test_the_dead_mans_switch_says_when_it_will_fire(self, wire: Wire) -> None:
        answer = wire.call("CancelAllOrdersAfter", timeout=60)

        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer["currentTime"])
        assert answer["triggerTime"] > answer["currentTime"]
        assert wire.call("CancelAllOrdersAfter", timeout=0)["triggerTime"] == "0"
        assert wire.error("CancelAllOrdersAfter", timeout=86_400) == "EGeneral:Invalid arguments:timeout"

    def test_accounts_do_not_see_one_another(self, client: Client, wire: Wire, open_account: OpenAccount) -> None:
        other = Wire.of(client, open_account())
        txid = wire.call("AddOrder", **MARKET)["txid"][0]

        assert other.error("QueryOrders", txid=txid) == "EOrder:Unknown order"
        assert other.call("TradesHistory") == {"trades": {}, "count": 0}
        assert other.call("Balance") == {"ZUSD": "10000.0000"}


class TestOwnFailures:
    def test_a_database_that_is_away_is_unavailable(self, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise OperationalError("gone")

        monkeypatch.setattr(selectors, "wallet_list", fail)
        assert wire.error("Balance") == "EService:Unavailable"

    def test_a_defect_is_an_internal_error_without_details(self, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise ZeroDivisionError(str(Path.cwd()))

        monkeypatch.setattr(selectors, "wallet_list", fail)
        assert wire.error("Balance") == "EGeneral:Internal error"
