"""Public market data in Kraken's shapes and formats."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from apps.paper.models import Market
from tests.integration.paper.conftest import Replaying
from tests.integration.paper.wire import get, result
from tests.unit.paper.builders import COIN, FIRST_TIME, HOUR, flat

pytestmark = [pytest.mark.django_db, pytest.mark.urls("paper_exchange.urls")]

# The fields and types of Kraken's own answer for a pair without margin, as of September 2026.
PAIR_FIELDS = {
    "altname": str, "wsname": str, "aclass_base": str, "base": str, "aclass_quote": str, "quote": str, "lot": str,
    "cost_decimals": int, "pair_decimals": int, "lot_decimals": int, "lot_multiplier": int, "leverage_buy": list,
    "leverage_sell": list, "fees": list, "fees_maker": list, "fee_volume_currency": str, "margin_call": int,
    "margin_stop": int, "ordermin": str, "costmin": str, "tick_size": str, "status": str, "execution_venue": str,
}  # fmt: skip


@pytest.fixture
def _still(market: Replaying) -> Path:
    """An hour a candle: nothing moves during a test."""
    return market([(10_000, 10_100, 9_900, 10_000 + index, 100 * COIN, 60) for index in range(50)], candle_seconds=3600)


@pytest.fixture
def _synthetic(settings: Settings) -> None:
    settings.MARKET_DATA = None
    settings.MARKET_CANDLE_SECONDS = 3600.0


def _move_to(candle: float) -> None:
    """Moves the clock to the end of that many candles."""
    Market.objects.update(started_at=timezone.now() - timedelta(hours=candle - 1))


@pytest.mark.usefixtures("_still")
class TestRecordedMarket:
    def test_time_is_now(self, client: Client) -> None:
        answer = result(client, "/0/public/Time")

        assert abs(answer["unixtime"] - timezone.now().timestamp()) < 5
        assert answer["rfc1123"].endswith("+0000")

    def test_asset_pairs_have_krakens_fields(self, client: Client) -> None:
        answer = result(client, "/0/public/AssetPairs")

        assert list(answer) == ["XXBTZUSD"]
        assert {name: type(value) for name, value in answer["XXBTZUSD"].items()} == PAIR_FIELDS
        assert (answer["XXBTZUSD"]["tick_size"], answer["XXBTZUSD"]["fees"]) == ("0.1", [])

    @pytest.mark.parametrize(
        ("asked", "key"), [("XBTUSD", "XXBTZUSD"), ("XXBTZUSD", "XXBTZUSD"), ("BTC/USD", "BTC/USD")]
    )
    @pytest.mark.parametrize("method", ["Ticker", "OHLC", "Depth", "Trades", "Spread", "AssetPairs"])
    def test_the_key_echoes_the_form_that_was_asked(self, client: Client, method: str, asked: str, key: str) -> None:
        extra = "&interval=60" if method == "OHLC" else ""

        assert key in result(client, f"/0/public/{method}?pair={asked}{extra}")

    @pytest.mark.parametrize("name", ["XBT/USD", "ETHUSD", "nonsense", "xbtusd"])
    def test_other_pairs_and_forms_are_unknown(self, client: Client, name: str) -> None:
        assert get(client, f"/0/public/Ticker?pair={name}") == {"error": ["EQuery:Unknown asset pair"]}

    def test_assets_are_those_of_the_listed_pairs(self, client: Client) -> None:
        assert result(client, "/0/public/Assets") == {
            "XXBT": {
                "aclass": "currency",
                "altname": "XBT",
                "decimals": 10,
                "display_decimals": 5,
                "status": "enabled",
            },
            "ZUSD": {"aclass": "currency", "altname": "USD", "decimals": 4, "display_decimals": 2, "status": "enabled"},
        }
        assert list(result(client, "/0/public/Assets?asset=BTC")) == ["XXBT"]
        assert get(client, "/0/public/Assets?asset=ETH")["error"] == ["EQuery:Unknown asset"]

    def test_the_ticker_prints_prices_with_the_cost_decimals(self, client: Client) -> None:
        result(client, "/0/public/Ticker")
        _move_to(30)
        ticker = result(client, "/0/public/Ticker?pair=XBTUSD")["XXBTZUSD"]

        assert set(ticker) == set("abcvptlho")
        assert ticker["c"][0] == ticker["o"] == "1000.00000"
        assert [float(ticker["b"][0]), float(ticker["a"][0])] == [999.9, 1000.1]
        assert [part.count(".") for part in ticker["a"]] == [1, 0, 1]
        assert ticker["h"] == ["1010.00000", "1010.00000"]
        assert ticker["t"] == [6 * 60 + 2, 24 * 60 + 2]
        assert ticker["v"][1] == "2403.33333333"

    def test_ohlc_rows_carry_market_time_and_end_with_the_forming_one(self, client: Client) -> None:
        result(client, "/0/public/Ticker")
        _move_to(30)
        answer = result(client, "/0/public/OHLC?pair=XBTUSD&interval=60")
        rows = answer["XXBTZUSD"]

        assert rows[0] == [FIRST_TIME, "1000.0", "1010.0", "990.0", "1000.0", "1000.0", "100.00000000", 60]
        assert len(rows) == 31
        assert answer["last"] == rows[-2][0] == FIRST_TIME + 29 * HOUR
        assert rows[-1] == [FIRST_TIME + 30 * HOUR, *["1000.0"] * 5, "3.33333333", 2]
        since = answer["last"]
        assert result(client, f"/0/public/OHLC?pair=XBTUSD&interval=60&since={since}")["XXBTZUSD"] == rows[-1:]

    @pytest.mark.parametrize("interval", [1, 15, 61, 90])
    def test_an_interval_that_would_be_invented_is_refused(self, client: Client, interval: int) -> None:
        body = get(client, f"/0/public/OHLC?pair=XBTUSD&interval={interval}")

        assert body == {"error": ["EGeneral:Invalid arguments:interval"]}

    def test_depth_has_count_levels_a_side(self, client: Client) -> None:
        book = result(client, "/0/public/Depth?pair=XBTUSD&count=3")["XXBTZUSD"]

        assert [len(book["asks"]), len(book["bids"])] == [3, 3]
        price, volume, at = book["asks"][0]
        assert (price, len(volume.partition(".")[2])) == ("1000.10000", 3)
        assert abs(at - timezone.now().timestamp()) < 5

    def test_trades_go_on_after_last(self, client: Client) -> None:
        result(client, "/0/public/Ticker")
        _move_to(3)
        first = result(client, "/0/public/Trades?pair=XBTUSD&count=5")
        again = result(client, f"/0/public/Trades?pair=XBTUSD&since={first['last']}")

        assert len(first["XXBTZUSD"]) == 5
        price, volume, at, side, kind, misc, number = first["XXBTZUSD"][-1]
        assert (price, volume, kind, misc) == ("1000.00000", "3.33333333", "m", "")
        assert side in ("b", "s")
        assert str(int(at)) == first["last"][:10]
        assert isinstance(number, int)
        assert again["XXBTZUSD"] == []

    def test_spread_is_bid_and_ask_by_time(self, client: Client) -> None:
        rows = result(client, "/0/public/Spread?pair=XBTUSD")["XXBTZUSD"]

        assert rows[-1][1:] == ["999.90000", "1000.10000"]

    def test_the_status_says_that_the_market_is_recorded(self, client: Client) -> None:
        status = result(client, "/0/public/SystemStatus")

        assert status["status"] == "online"
        assert status["paper"]["synthetic"] is False
        assert status["paper"]["markets"][0]["source"] == "XBTUSD_60.csv"

    def test_at_its_end_the_exchange_is_cancel_only_and_says_so(self, client: Client) -> None:
        result(client, "/0/public/Ticker")
        _move_to(50)
        status = result(client, "/0/public/SystemStatus")
        rows = result(client, "/0/public/OHLC?pair=XBTUSD&interval=60")

        assert status["status"] == "cancel_only"
        assert result(client, "/0/public/AssetPairs")["XXBTZUSD"]["status"] == "cancel_only"
        assert rows["last"] == rows["XXBTZUSD"][-1][0]
        assert status["paper"]["markets"][0]["candles_closed"] == 50

    def test_the_platform_can_ask_what_plays(self, client: Client) -> None:
        body: Any = client.get("/paper/market").json()

        assert [(each["pair"], each["synthetic"]) for each in body["markets"]] == [("XBTUSD", False)]

    @pytest.mark.parametrize("path", ["/0/public/Nothing", "/0/public/AddOrder", "/0/private/Ticker"])
    def test_an_unknown_method_is_said_to_be_one(self, client: Client, path: str) -> None:
        assert get(client, path) == {"error": ["EGeneral:Unknown method"]}

    def test_public_methods_take_post_too(self, client: Client) -> None:
        response = client.post("/0/public/Ticker", {"pair": "XBTUSD"}, content_type="application/json")

        assert list(response.json()["result"]) == ["XXBTZUSD"]

    @pytest.mark.parametrize(
        "query", ["pair=", "", "pair=XBTUSD&count=0", "pair=XBTUSD&count=x", "pair=%ff", "&".join(["a=1"] * 400)]
    )
    def test_bad_input_is_refused_and_no_failure(self, client: Client, query: str) -> None:
        (error,) = get(client, f"/0/public/Depth?{query}")["error"]

        assert error.startswith(("EGeneral:Invalid arguments", "EQuery:Unknown asset pair"))


@pytest.mark.usefixtures("_synthetic")
class TestSyntheticMarket:
    def test_every_answer_that_can_says_that_it_is_synthetic(self, client: Client) -> None:
        status = result(client, "/0/public/SystemStatus")

        assert status["paper"]["synthetic"] is True
        assert {each["pair"]: each["synthetic"] for each in status["paper"]["markets"]} == {
            "XBTUSD": True,
            "ETHUSD": True,
        }
        assert "generated from seed" in status["paper"]["markets"][0]["source"]

    def test_several_pairs_are_asked_by_repetition_or_commas(self, client: Client) -> None:
        repeated = result(client, "/0/public/Ticker?pair=XBTUSD&pair=ETHUSD")
        joined = result(client, "/0/public/Ticker?pair=XBTUSD,ETHUSD")

        assert list(repeated) == list(joined) == ["XXBTZUSD", "XETHZUSD"]

    def test_history_is_there_from_the_first_moment(self, client: Client) -> None:
        rows = result(client, "/0/public/OHLC?pair=ETHUSD&interval=60")["XETHZUSD"]

        assert len(rows) == 721

    def test_a_day_is_put_together_from_hours(self, client: Client) -> None:
        rows = result(client, "/0/public/OHLC?pair=ETHUSD&interval=1440")["XETHZUSD"]

        assert len(rows) == 31
        assert all(row[0] % 86_400 == 0 for row in rows)


def test_a_flat_hour_without_trades_has_no_average(client: Client, market: Replaying) -> None:
    market([flat(10_000, 0), flat(10_000, 0)], candle_seconds=3600)

    rows = result(client, "/0/public/OHLC?pair=XBTUSD&interval=60")["XXBTZUSD"]

    assert rows[0][5:] == ["0.0", "0.00000000", 60]
