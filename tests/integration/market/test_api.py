"""Market data: cached, with its time in every response, and marked when stale."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from pytest_django import Settings
from rest_framework.test import APIClient

from apps.core.terms import Mode
from apps.exchange.errors import ExchangeRateLimited, ExchangeUnavailable, IntervalNotOffered
from apps.exchange.types import Ohlc, ServerStatus
from apps.market import cache as market_cache
from apps.market import selectors, services
from apps.market.models import MarketInstrument
from tests.factories.exchange import use_fake_exchange
from tests.factories.fake_account import XBTUSD
from tests.factories.fake_exchange import EVERY_CALL, FakeExchange, raising
from tests.factories.vault import client_of
from tests.integration.market.conftest import candle

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

PAIRS, TICKER, OHLC, BOOK = (f"/api/v1/trading/{name}" for name in ("pairs", "ticker", "ohlc", "orderbook"))
STATUS = "/api/v1/kraken/status"
HOURLY = [candle(hour, "50000.0") for hour in range(7)]
SILENCES = [ExchangeUnavailable("Down."), ExchangeRateLimited("Slow down.", retry_after_seconds=5)]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Advances the clock of the requests."""
    real = timezone.now
    ahead = [timedelta()]
    monkeypatch.setattr(timezone, "now", lambda: real() + ahead[0])

    def move(seconds: float) -> None:
        ahead[0] += timedelta(seconds=seconds)

    return move


def _silence(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_exchange(monkeypatch, FakeExchange()).on(
        EVERY_CALL, before=raising(ExchangeUnavailable("It does not answer."))
    )


def _age(body: dict[str, Any]) -> float:
    as_of = parse_datetime(body["as_of"])
    assert isinstance(as_of, datetime)
    return (timezone.now() - as_of).total_seconds()


def test_a_ticker_says_whose_it_is_and_how_old(client: APIClient, fake: FakeExchange) -> None:
    body = client.get(TICKER, {"pair": "XBTUSD"}).json()

    assert (body["pair"], body["last"], body["ask"]) == ("XBTUSD", "50004", "50004")
    assert (body["exchange"], body["stale"], body["synthetic"]) == ("paper", False, True)
    assert _age(body) < 5


@pytest.mark.parametrize("name", ["XBTUSD", "XXBTZUSD", "BTC/USD"])
def test_a_pair_has_three_names_and_one_answer(client: APIClient, fake: FakeExchange, name: str) -> None:
    assert client.get(TICKER, {"pair": name}).json()["pair"] == "XBTUSD"
    assert client.get(OHLC, {"pair": name}).json()["pair"] == "XBTUSD"
    assert client.get(BOOK, {"pair": name}).json()["pair"] == "XBTUSD"


@pytest.mark.django_db(transaction=True)
def test_many_readers_ask_the_exchange_once(client: APIClient, fake: FakeExchange, later: Any) -> None:
    first = client.get(TICKER, {"pair": "XBTUSD"}).json()
    asked = len(fake.calls)
    assert client.get(TICKER, {"pair": "XBTUSD"}).json() == first
    assert len(fake.calls) == asked

    later(2)
    assert client.get(TICKER, {"pair": "XBTUSD"}).json()["as_of"] != first["as_of"]
    assert len(fake.calls) == asked + 1


@pytest.mark.django_db(transaction=True)
def test_while_one_asks_the_others_take_what_is_kept(
    client: APIClient, fake: FakeExchange, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get(TICKER, {"pair": "XBTUSD"})
    later(2)
    calls: list[str] = []

    def slow(pair: str) -> None:
        calls.append(pair)
        time.sleep(0.5)

    fake.on("ticker", before=slow)
    bodies: list[dict[str, Any]] = []

    def read() -> None:
        try:
            bodies.append(client_of(uuid4()).get(TICKER, {"pair": "XBTUSD"}).json())
        finally:
            connection.close()

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(calls) == 1
    assert {body["stale"] for body in bodies} == {False}


@pytest.mark.parametrize("address", [TICKER, OHLC, BOOK])
def test_without_an_answer_the_last_one_is_shown_and_called_stale(
    client: APIClient, fake: FakeExchange, later: Any, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    fresh = client.get(address, {"pair": "XBTUSD"}).json()
    _silence(monkeypatch)
    later(10)

    response = client.get(address, {"pair": "XBTUSD"})

    assert response.status_code == 200
    assert response.json() == {**fresh, "stale": True}


@pytest.mark.parametrize("silence", SILENCES)
@pytest.mark.parametrize("address", [TICKER, OHLC, BOOK, PAIRS])
def test_without_an_answer_ever_it_is_unavailable(
    client: APIClient, fake: FakeExchange, address: str, silence: Exception
) -> None:
    fake.fail_reads(silence)

    response = client.get(address, {} if address == PAIRS else {"pair": "XBTUSD"})

    assert (response.status_code, response.json()["error"]["code"]) == (503, "market_data_unavailable")
    assert MarketInstrument.objects.count() == 0


def test_an_exchange_that_just_failed_is_left_alone_for_a_moment(
    client: APIClient, fake: FakeExchange, later: Any
) -> None:
    client.get(TICKER, {"pair": "XBTUSD"})
    later(2)
    fake.fail_reads(ExchangeUnavailable("Down."))
    assert client.get(TICKER, {"pair": "XBTUSD"}).json()["stale"] is True
    asked = len(fake.calls)

    assert client.get(TICKER, {"pair": "XBTUSD"}).json()["stale"] is True
    assert client.get(OHLC, {"pair": "XBTUSD"}).status_code == 503
    assert len(fake.calls) == asked

    later(2)
    market_cache.forget_all()
    cache.clear()
    assert client.get(OHLC, {"pair": "XBTUSD"}).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_pairs_are_listed_with_their_rules(client: APIClient, fake: FakeExchange) -> None:
    body = client.get(PAIRS).json()

    assert (body["exchange"], body["stale"], body["synthetic"], body["next"]) == ("paper", False, True, None)
    assert body["results"] == [
        {
            "pair": "XBTUSD",
            "code": "XXBTZUSD",
            "symbol": "BTC/USD",
            "base": "XXBT",
            "quote": "ZUSD",
            "status": "online",
            "price_decimals": 1,
            "volume_decimals": 8,
            "cost_decimals": 5,
            "tick_size": "0.1",
            "order_minimum": "0.00005",
            "cost_minimum": "0.5",
        }
    ]


def test_the_list_of_pairs_outlives_the_exchange_and_the_cache(
    client: APIClient, fake: FakeExchange, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = client.get(PAIRS).json()
    _silence(monkeypatch)
    cache.clear()
    market_cache.forget_all()
    later(120)

    body = client.get(PAIRS).json()

    assert (body["stale"], body["as_of"], body["results"]) == (True, fresh["as_of"], fresh["results"])
    assert body["synthetic"] is None


def test_a_pair_that_is_not_listed_any_more_goes(fake: FakeExchange) -> None:
    now = timezone.now()
    services.instruments_store([XBTUSD], mode=Mode.LIVE, now=now)
    services.instruments_store([XBTUSD], mode=Mode.PAPER, now=now)
    services.instruments_store([], mode=Mode.PAPER, now=now + timedelta(seconds=1))
    assert MarketInstrument.objects.filter(exchange="paper").count() == 1

    other = replace(XBTUSD, altname="ETHUSD", status="cancel_only")
    services.instruments_store([other], mode=Mode.PAPER, now=now + timedelta(seconds=2))

    assert list(MarketInstrument.objects.order_by("exchange").values_list("exchange", "altname", "status")) == [
        ("live", "XBTUSD", "online"),
        ("paper", "ETHUSD", "cancel_only"),
    ]


def test_instruments_are_read_back_as_they_were_listed(fake: FakeExchange) -> None:
    assert selectors.instrument_get(pair="BTC/USD", mode=Mode.PAPER, now=timezone.now()) == XBTUSD


def test_pairs_come_in_pages(client: APIClient, fake: FakeExchange) -> None:
    fake._listed = {name: replace(XBTUSD, altname=name) for name in ("AAAUSD", "BBBUSD", "CCCUSD")}

    page = client.get(PAIRS, {"limit": 2}).json()

    assert [row["pair"] for row in page["results"]] == ["AAAUSD", "BBBUSD"]
    last = client.get(page["next"]).json()
    assert [row["pair"] for row in last["results"]] == ["CCCUSD"]
    assert last["as_of"] == page["as_of"]


@pytest.mark.django_db(transaction=True)
def test_candles_are_closed_ones_and_as_many_as_asked_for(client: APIClient, fake: FakeExchange) -> None:
    body = client.get(OHLC, {"pair": "XBTUSD", "interval": "60", "limit": "2"}).json()

    assert [row["close"] for row in body["candles"]] == ["50003", "50004"]
    assert body["candles"][1] == {
        "time": "2026-01-01T04:00:00Z",
        "open": "50004",
        "high": "50004",
        "low": "50004",
        "close": "50004",
        "average": "50004",
        "volume": "1.5",
        "trades": 3,
    }
    assert (body["interval_minutes"], body["forming"]) == (60, None)


class TestCandlesByPages:
    @pytest.fixture(autouse=True)
    def _seven_candles(self, fake: FakeExchange) -> None:
        fake.set_candles(HOURLY)

    def pages(self, client: APIClient, query: dict[str, Any], follow: str) -> list[list[str]]:
        pages, address, params = [], OHLC, {"pair": "XBTUSD", **query}
        while address:
            body = client.get(address, params).json()
            pages.append([row["time"][11:13] for row in body["candles"]])
            address, params = body[follow], {}
        return pages

    def test_page_back_until_history_ends(self, client: APIClient) -> None:
        assert self.pages(client, {"limit": "3"}, "next") == [["04", "05", "06"], ["01", "02", "03"], ["00"]]

    def test_page_on_from_a_time_up_to_now(self, client: APIClient) -> None:
        query = {"limit": "3", "since": "2026-01-01T01:00:00Z"}
        assert self.pages(client, query, "previous") == [["01", "02", "03"], ["04", "05", "06"]]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"before": "2026-01-01T02:00:00Z"}, ["00", "01"]),
            ({"before": "2026-01-01T02:30:00+00:00", "limit": "1"}, ["02"]),
            ({"since": "2026-01-01T02:00:00Z", "before": "2026-01-01T06:00:00Z", "limit": "2"}, ["04", "05"]),
            ({"before": "2025-12-31T00:00:00Z"}, []),
            ({"since": "2027-01-01T00:00:00Z"}, []),
        ],
    )
    def test_are_those_between_the_times(self, client: APIClient, query: dict[str, str], expected: list[str]) -> None:
        body = client.get(OHLC, {"pair": "XBTUSD", **query}).json()
        assert [row["time"][11:13] for row in body["candles"]] == expected
        assert body["history_starts_at"] == "2026-01-01T00:00:00Z"

    def test_only_the_page_that_reaches_now_has_the_forming_one(
        self, client: APIClient, fake: FakeExchange, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        *closed, forming = HOURLY
        monkeypatch.setattr(fake, "ohlc", lambda *_: Ohlc(tuple(closed), forming))
        newest = client.get(OHLC, {"pair": "XBTUSD", "limit": "2"}).json()
        older = client.get(newest["next"]).json()
        assert (newest["forming"]["time"], newest["previous"]) == ("2026-01-01T06:00:00Z", None)
        assert older["forming"] is None
        assert older["previous"] is not None

    @pytest.mark.parametrize(
        "query",
        [{"before": "yesterday"}, {"since": ""}, {"after": "2026-01-01T00:00:00Z"}, {"limit": "721"}, {"before": "1"}],
    )
    def test_of_bounds_that_are_none_are_refused(self, client: APIClient, query: dict[str, str]) -> None:
        assert client.get(OHLC, {"pair": "XBTUSD", **query}).status_code == 400


def test_an_interval_that_the_exchange_does_not_have_is_refused(client: APIClient, fake: FakeExchange) -> None:
    client.get(PAIRS)
    fake.fail_reads(IntervalNotOffered(pair="XBTUSD", interval_minutes=1))

    response = client.get(OHLC, {"pair": "XBTUSD", "interval": "1"})

    assert (response.status_code, response.json()["error"]["code"]) == (422, "interval_not_offered")
    assert response.json()["error"]["message"] == "There are no candles of 1 minutes for XBTUSD."


@pytest.mark.django_db(transaction=True)
def test_an_order_book_is_cut_to_the_depth_asked_for(client: APIClient, fake: FakeExchange) -> None:
    body = client.get(BOOK, {"pair": "XBTUSD", "depth": "1"}).json()

    assert body["asks"] == body["bids"] == [{"price": "50004", "volume": "1"}]


@pytest.mark.parametrize("address", [TICKER, OHLC, BOOK])
def test_an_unknown_pair_is_not_found_and_not_asked_for(client: APIClient, fake: FakeExchange, address: str) -> None:
    client.get(PAIRS)
    asked = len(fake.calls)

    response = client.get(address, {"pair": "NOPE"})

    assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_pair")
    assert len(fake.calls) == asked


@pytest.mark.parametrize(
    ("address", "query"),
    [
        (TICKER, {}),
        (TICKER, {"pair": "a b"}),
        (TICKER, {"pair": "x" * 41}),
        (TICKER, {"pair": "\x00"}),
        (OHLC, {"pair": "XBTUSD", "interval": 7}),
        (OHLC, {"pair": "XBTUSD", "interval": "hour"}),
        (OHLC, {"pair": "XBTUSD", "limit": 0}),
        (OHLC, {"pair": "XBTUSD", "limit": 721}),
        (BOOK, {"pair": "XBTUSD", "depth": 101}),
        (PAIRS, {"cursor": "nonsense"}),
    ],
)
def test_a_malformed_query_is_400(client: APIClient, fake: FakeExchange, address: str, query: dict[str, Any]) -> None:
    assert client.get(address, query).status_code == 400


def test_the_exchanges_own_word_is_shown_and_its_silence_too(
    client: APIClient, fake: FakeExchange, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.status = ServerStatus("cancel_only", datetime(2026, 1, 1, tzinfo=UTC))
    assert client.get(STATUS).json() | {"as_of": ""} == {
        "exchange": "paper",
        "status": "cancel_only",
        "exchange_time": "2026-01-01T00:00:00Z",
        "as_of": "",
        "synthetic": False,
    }

    _silence(monkeypatch)
    later(30)
    body = client.get(STATUS)
    assert (body.status_code, body.json()["status"], body.json()["exchange_time"]) == (200, "unreachable", None)


def test_everything_answers_with_redis_down(
    client: APIClient, fake: FakeExchange, settings: Settings, later: Any
) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/0"}}

    for address in (PAIRS, TICKER, OHLC, BOOK, STATUS):
        assert client.get(address, {} if address in (PAIRS, STATUS) else {"pair": "XBTUSD"}).status_code == 200
    asked = len(fake.calls)
    client.get(TICKER, {"pair": "XBTUSD"})
    assert len(fake.calls) == asked

    later(2)
    fake.set_price(fake.prices["XBTUSD"] + 1)
    assert client.get(TICKER, {"pair": "XBTUSD"}).json()["last"] == "50005"


def test_what_another_version_left_in_the_cache_is_passed_over(client: APIClient, fake: FakeExchange) -> None:
    cache.set("market:paper:ticker:XBTUSD", '{"as_of": "2026-01-01T00:00:00Z", "value": "{}"}')

    assert client.get(TICKER, {"pair": "XBTUSD"}).json()["last"] == "50004"


def test_the_source_is_a_setting(client: APIClient, fake: FakeExchange, settings: Settings) -> None:
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(
        update={"market_source": "live", "kraken_url": "https://api.kraken.com"}
    )

    assert client.get(TICKER, {"pair": "XBTUSD"}).json()["exchange"] == "live"


def test_market_data_needs_a_token(fake: FakeExchange) -> None:
    assert {APIClient().get(address).status_code for address in (PAIRS, TICKER, OHLC, BOOK, STATUS)} == {401}
