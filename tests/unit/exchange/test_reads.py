"""Reads are repeated where that may help; what changes something is not."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from apps.core.errors import PlatformError
from apps.core.terms import Side
from apps.exchange import errors as failures
from apps.exchange.kraken.exchange import KrakenExchange
from apps.exchange.types import Balance, Cancellation, OrderStatus
from tests.factories.exchange_stub import (
    BAD_GATEWAY,
    DROPPED,
    NOT_JSON,
    SILENT,
    ExchangeStub,
    Received,
    Reply,
    errors,
    result,
)

# As recorded of Kraken, with the fields that the adapter reads and some that it does not.
ORDER = {
    "refid": None,
    "userref": 0,
    "cl_ord_id": "mk-1",
    "status": "closed",
    "opentm": 1705260547.472,
    "starttm": 0,
    "expiretm": 0,
    "descr": {"pair": "LTCUSDT", "type": "buy", "ordertype": "market", "price": "0", "order": "buy 0.1 LTCUSDT"},
    "vol": "0.10000000",
    "vol_exec": "0.10000000",
    "cost": "7.105741",
    "fee": "0.018475",
    "price": "71.05741",
    "misc": "",
    "oflags": "fciq",
    "trades": ["TWA6QJ-ZO4EM-6QIHQJ"],
    "reason": None,
    "closetm": 1705260547.4728658,
}
TRADE = {
    "ordertxid": "OGMZCL-KC6MC-ZRBGM6",
    "pair": "LTCUSDT",
    "time": 1705260547.47,
    "type": "sell",
    "price": "71.05741",
    "cost": "7.105741",
    "fee": "0.018475",
    "vol": "0.10000000",
    "maker": True,
}
PASSING = [BAD_GATEWAY, NOT_JSON, DROPPED, SILENT, errors("EService:Busy"), errors("EAPI:Invalid nonce")]


@pytest.mark.parametrize("failure", PASSING)
def test_a_read_that_failed_in_passing_is_repeated(
    exchange: KrakenExchange, stub: ExchangeStub, failure: Reply
) -> None:
    stub.reply("BalanceEx", failure, result({"ZUSD": {"balance": "100.0", "hold_trade": "2.5"}}))

    assert exchange.balances() == {"ZUSD": Balance("ZUSD", Decimal("100.0"), Decimal("2.5"))}
    nonces = [int(call.params["nonce"]) for call in stub.calls("BalanceEx")]
    assert len(nonces) == 2
    assert nonces[0] < nonces[1]


def test_a_key_whose_nonce_stays_refused_is_of_no_use(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("BalanceEx", errors("EAPI:Invalid nonce"))

    with pytest.raises(failures.NonceRefused):
        exchange.balances()
    assert len(stub.received) == 3


def test_a_read_is_given_up_after_three_times(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("BalanceEx", BAD_GATEWAY)

    with pytest.raises(failures.ExchangeUnavailable):
        exchange.balances()
    assert len(stub.received) == 3


@pytest.mark.parametrize("failure", PASSING)
def test_a_cancellation_is_not_repeated(exchange: KrakenExchange, stub: ExchangeStub, failure: Reply) -> None:
    stub.reply("CancelOrder", failure)

    with pytest.raises((failures.ExchangeUnavailable, failures.NonceRefused)):
        exchange.cancel(client_order_id="mk-1")
    assert len(stub.received) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EAPI:Invalid key", failures.KeyInvalid),
        ("EAPI:Invalid signature", failures.KeyInvalid),
        ("EGeneral:Temporary lockout", failures.KeyLocked),
        ("EGeneral:Permission denied", failures.KeyLacksPermission),
        ("EAPI:Rate limit exceeded", failures.ExchangeRateLimited),
        ("EService: Throttled: 4000000000", failures.ExchangeRateLimited),
        ("EGeneral:Too many requests", failures.ExchangeRateLimited),
        ("EAuth:Rate limit exceeded", failures.ExchangeRateLimited),
        ("EService:Market in limit_only mode", failures.ExchangeUnavailable),
        ("EGeneral:Invalid arguments:asset", failures.ExchangeRefused),
        ("EWhat:Nobody has heard of this", failures.ExchangeRefused),
        ("EAPI:Feature disabled", failures.ExchangeRefused),
    ],
)
def test_every_refusal_is_an_error_even_those_that_the_sdk_returns_as_results(
    exchange: KrakenExchange, stub: ExchangeStub, text: str, expected: type[PlatformError]
) -> None:
    stub.reply("BalanceEx", errors(text))

    with pytest.raises(expected) as caught:
        exchange.balances()

    assert type(caught.value) is expected
    assert caught.value.details["exchange_error"] == text
    assert len(stub.received) == 1


def test_an_order_is_read_as_kraken_writes_it(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("QueryOrders", result({"OGMZCL-KC6MC-ZRBGM6": ORDER}))

    order = exchange.orders(["OGMZCL-KC6MC-ZRBGM6"])["OGMZCL-KC6MC-ZRBGM6"]

    assert (order.status, order.side, order.client_order_id, order.userref) == (
        OrderStatus.CLOSED,
        Side.BUY,
        "mk-1",
        None,
    )
    assert (order.executed_volume, order.cost, order.fee, order.average_price, order.limit_price) == (
        Decimal("0.1"),
        Decimal("7.105741"),
        Decimal("0.018475"),
        Decimal("71.05741"),
        None,
    )
    assert order.closed_at == datetime(2024, 1, 14, 19, 29, 7, 472866, tzinfo=UTC)
    assert order.trade_ids == ("TWA6QJ-ZO4EM-6QIHQJ",)


def test_an_order_with_nothing_but_its_terms_is_read_too(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    bare = {"status": "open", "vol": "1", "descr": {"type": "sell", "ordertype": "limit", "price": "5"}}
    stub.reply("OpenOrders", result({"open": {"OAAAAA-BBBBB-CCCCCC": bare}}))

    (order,) = exchange.open_orders(client_order_id="mk-1")

    assert (order.executed_volume, order.average_price, order.limit_price) == (Decimal(0), None, Decimal(5))
    assert stub.calls("OpenOrders")[0].params["cl_ord_id"] == "mk-1"


def test_ids_that_the_exchange_does_not_have_are_missing_and_the_others_are_found(
    exchange: KrakenExchange, stub: ExchangeStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"OA", "OC"}

    def query(request: Received) -> Reply:
        exchange_order_ids = set(request.params["txid"].split(","))
        return (
            result(dict.fromkeys(exchange_order_ids, ORDER))
            if exchange_order_ids <= known
            else errors("EOrder:Unknown order")
        )

    monkeypatch.setattr(stub, "handle", query)

    assert set(exchange.orders(["OA", "OB", "OC", "OA"])) == known


def test_histories_are_read_page_by_page(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    first = {f"T{number:03d}": {**TRADE, "time": 1000 + number} for number in range(50)}
    second = {"T049": {**TRADE, "time": 1049}, "T050": {**TRADE, "time": 1}}
    stub.reply("TradesHistory", result({"trades": first, "count": 51}), result({"trades": second, "count": 51}))

    trades = exchange.trades_history(start=datetime(2024, 1, 1, tzinfo=UTC))

    assert len(trades) == 51
    assert trades[0].trade_id == "T050"
    assert trades[0].is_maker is True
    assert [call.params["ofs"] for call in stub.received] == ["0", "50"]
    assert {call.params["start"] for call in stub.received} == {"1704067200"}


def test_a_history_is_never_cut_in_silence(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("ClosedOrders", result({"closed": {f"O{number}": ORDER for number in range(50)}, "count": 9999}))

    with pytest.raises(failures.HistoryTooLong):
        exchange.closed_orders()


def test_cancelling_what_is_not_open_counts_nothing(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("CancelOrder", errors("EOrder:Unknown order"), errors("EOrder:Invalid order"), result({"count": 1}))

    answers = [exchange.cancel(exchange_order_id="OAAAAA-BBBBB-CCCCCC") for _ in range(3)]

    assert answers == [Cancellation(0), Cancellation(0), Cancellation(1)]


def test_a_cancellation_names_one_order(exchange: KrakenExchange) -> None:
    with pytest.raises(ValueError, match="exchange_order_id or a client_order_id"):
        exchange.cancel()


def test_what_is_held_beyond_the_balance_leaves_nothing_free() -> None:
    assert Balance("XXBT", Decimal(1), Decimal(2)).free == 0


@pytest.mark.parametrize(
    "info",
    [
        {
            "apiKeyName": "bot",
            "permissions": ["query-funds", "withdraw-funds"],
            "nonceWindow": "10",
            "validUntil": "1772543095",
            "ipAllowlist": ["10.0.0.1"],
            "lastUsed": "1772627061",
        },
        {
            "api_key_name": "bot",
            "permissions": ["query-funds", "withdraw-funds"],
            "nonce_window": 10,
            "valid_until": 1772543095,
            "ip_allowlist": ["10.0.0.1"],
            "last_used": 1772627061,
        },
    ],
)
def test_key_facts_are_read_in_either_spelling(
    exchange: KrakenExchange, stub: ExchangeStub, info: dict[str, Any]
) -> None:
    stub.reply("GetApiKeyInfo", result(info))

    key = exchange.key_info()

    assert key.permissions == frozenset({"query-funds", "withdraw-funds"})
    assert (key.name, key.nonce_window, key.ip_allowlist) == ("bot", 10, ("10.0.0.1",))
    assert key.expires_at == datetime(2026, 3, 3, 13, 4, 55, tzinfo=UTC)


def test_a_key_whose_rights_are_not_told_has_unknown_rights(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("GetApiKeyInfo", result({"validUntil": "0"}))

    assert exchange.key_info().permissions is None
    assert exchange.key_info().expires_at is None


def test_fees_are_fractions(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    body = {"currency": "ZUSD", "volume": "451.3", "fees": {"XXBTZUSD": {"fee": "0.4000"}}}
    stub.reply("TradeVolume", result({**body, "fees_maker": {"XXBTZUSD": {"fee": "0.25"}}}), result(body))

    with_maker, without = exchange.trade_volume("XBTUSD"), exchange.trade_volume("XBTUSD")

    assert (with_maker.taker, with_maker.maker) == (Decimal("0.004"), Decimal("0.0025"))
    assert without.maker == Decimal("0.004")


def test_candles_are_closed_up_to_last_and_the_one_after_it_is_forming(
    exchange: KrakenExchange, stub: ExchangeStub
) -> None:
    rows = [[time, "1.0", "2.0", "0.5", "1.5", "1.2", "3.00000000", 7] for time in (3600, 7200, 10800)]
    stub.reply("OHLC", result({"BTC/USD": rows, "last": 7200}))

    ohlc = exchange.ohlc("BTC/USD", 60, since=datetime(1970, 1, 1, tzinfo=UTC))

    assert [candle.opened_at.hour for candle in ohlc.closed] == [1, 2]
    assert ohlc.forming is not None
    assert ohlc.forming.opened_at.hour == 3
    assert (ohlc.closed[0].high, ohlc.closed[0].trades) == (Decimal("2.0"), 7)
    assert stub.received[0].query == "pair=BTC%2FUSD&interval=60&since=0"


@pytest.mark.parametrize("text", ["EGeneral:Invalid arguments:interval", "EGeneral:Invalid arguments"])
def test_an_interval_that_the_market_does_not_have_is_named(
    exchange: KrakenExchange, stub: ExchangeStub, text: str
) -> None:
    stub.reply("OHLC", errors(text))

    with pytest.raises(failures.IntervalNotOffered, match="There are no candles of 7 minutes for XBTUSD") as caught:
        exchange.ohlc("XBTUSD", 7)
    assert caught.value.details == {"pair": "XBTUSD", "interval_minutes": 7}


def test_money_passes_through_no_float(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("BalanceEx", Reply(body=b'{"error":[],"result":{"XXBT":{"balance":0.1000000000000000055511151}}}'))

    assert exchange.balances()["XXBT"].total == Decimal("0.1000000000000000055511151")


@pytest.mark.parametrize(
    "value",
    [None, [], {"ZUSD": None}, {"ZUSD": {"balance": "NaN"}}, {"ZUSD": {"balance": True}}, {"ZUSD": {}}, "text"],
)
def test_an_unreadable_answer_is_unavailable_and_never_half_read(
    exchange: KrakenExchange, stub: ExchangeStub, value: Any
) -> None:
    stub.reply("BalanceEx", result(value))

    with pytest.raises(failures.ExchangeUnavailable):
        exchange.balances()


def test_a_pair_is_described_by_its_recorded_row(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    row = json.loads(
        '{"altname":"XDGUSD","wsname":"XDG/USD","base":"XXDG","quote":"ZUSD","cost_decimals":9,"pair_decimals":7,'
        '"lot_decimals":8,"fees":[],"ordermin":"50","costmin":"0.5","tick_size":"0.0000001","status":"online"}'
    )
    stub.reply("AssetPairs", result({"XDGUSD": row}))

    instrument = exchange.instrument("DOGE/USD")

    assert (instrument.altname, instrument.code, instrument.symbol) == ("XDGUSD", "XDGUSD", "DOGE/USD")
    assert (instrument.order_minimum, instrument.tick_size) == (Decimal(50), Decimal("0.0000001"))


def test_an_unknown_pair_is_not_found(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("AssetPairs", errors("EQuery:Unknown asset pair"))

    with pytest.raises(failures.UnknownPair):
        exchange.instrument("NOPE")


def test_the_paper_exchange_says_that_its_market_is_synthetic(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    kraken = {"status": "online", "timestamp": "2026-01-01T00:00:00Z"}
    stub.reply("SystemStatus", result(kraken), result({**kraken, "paper": {"synthetic": True}}))

    statuses = [exchange.server_status() for _ in range(2)]

    assert [status.is_synthetic for status in statuses] == [False, True]
    assert statuses[0].at == datetime(2026, 1, 1, tzinfo=UTC)
