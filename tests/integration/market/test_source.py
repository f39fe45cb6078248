"""The source that trading and the API share: one call for all, and nothing older than asked for."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from apps.core.terms import Mode
from apps.exchange.errors import ExchangeRateLimited, ExchangeUnavailable
from apps.market import cache as market_cache
from apps.market.errors import MarketDataUnavailable
from apps.market.selectors import ohlc_get, ticker_get
from apps.market.source import PRICE_MAX_AGE, SharedMarket
from tests.factories.fake_exchange import FakeExchange, raising

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def market() -> SharedMarket:
    return SharedMarket(Mode.PAPER, timezone.now)


def asked(fake: FakeExchange, call: str) -> int:
    return fake.calls.count(call)


def in_threads(number: int, work: Callable[[], Any]) -> list[Any]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_what_the_api_has_read_trading_does_not_ask_for_again(fake: FakeExchange, market: SharedMarket) -> None:
    shown = ohlc_get(pair="XBTUSD", interval_minutes=60, mode=Mode.PAPER, now=timezone.now())
    assert market.ohlc("XBTUSD", 60) == shown
    assert asked(fake, "ohlc") == 1


def test_a_price_that_is_too_old_is_asked_for_anew(fake: FakeExchange, market: SharedMarket) -> None:
    now = timezone.now()
    ticker_get(pair="XBTUSD", mode=Mode.PAPER, now=now - timedelta(seconds=3))
    assert market.ticker("XBTUSD").as_of >= now - PRICE_MAX_AGE
    assert asked(fake, "ticker") == 2


@pytest.mark.parametrize("silence", [ExchangeUnavailable("Down."), ExchangeRateLimited("Slow.", retry_after_seconds=9)])
def test_without_an_answer_nothing_old_is_returned(
    fake: FakeExchange, market: SharedMarket, silence: Exception
) -> None:
    now = timezone.now()
    ticker_get(pair="XBTUSD", mode=Mode.PAPER, now=now - timedelta(seconds=3))
    market.instrument("XBTUSD")
    fake.on("ticker", before=raising(silence))
    for _ in range(3):
        with pytest.raises(MarketDataUnavailable):
            market.ticker("XBTUSD")
    # The pause after a failure holds for everybody: the exchange was asked once.
    assert asked(fake, "ticker") == 2
    assert ticker_get(pair="XBTUSD", mode=Mode.PAPER, now=timezone.now()).is_stale


def test_many_readers_of_a_closed_candle_are_one_call_and_wait_for_it(fake: FakeExchange, market: SharedMarket) -> None:
    market.ohlc("XBTUSD", 60)
    closed_at = timezone.now()
    fake.on("ohlc", before=lambda *_: time.sleep(0.3))
    results = in_threads(8, lambda: market.ohlc("XBTUSD", 60, not_before=closed_at))
    assert len({result.as_of for result in results}) == 1
    assert results[0].as_of >= closed_at
    assert asked(fake, "ohlc") == 2


def test_another_process_that_is_asking_is_waited_for(fake: FakeExchange, market: SharedMarket) -> None:
    market.instrument("XBTUSD")
    began = timezone.now()
    fake.on("ohlc", before=lambda *_: time.sleep(0.3))

    def ask() -> None:
        market.ohlc("XBTUSD", 60)
        connection.close()

    first = threading.Thread(target=ask)
    first.start()
    time.sleep(0.1)
    # What another process has: no memory and no lock in common, only Redis.
    market_cache._memory.clear()
    market_cache._readers.__init__()  # type: ignore[misc]
    assert market.ohlc("XBTUSD", 60, not_before=began).as_of >= began
    first.join()
    assert asked(fake, "ohlc") == 1


def test_with_redis_down_a_process_still_asks_once(
    fake: FakeExchange, market: SharedMarket, settings: Settings
) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/0"}}
    market.instrument("XBTUSD")
    fake.on("ticker", before=lambda *_: time.sleep(0.2))
    results = in_threads(6, lambda: market.ticker("XBTUSD"))
    assert len({result.value.last for result in results}) == 1
    assert asked(fake, "ticker") == 1


def test_a_clock_that_was_set_back_does_not_make_old_values_fresh(fake: FakeExchange) -> None:
    now = timezone.now()
    SharedMarket(Mode.PAPER, lambda: now + timedelta(hours=1)).ticker("XBTUSD")
    fake.set_price(fake.prices["XBTUSD"] + 1)
    assert SharedMarket(Mode.PAPER, lambda: now).ticker("XBTUSD").value.last == fake.prices["XBTUSD"]
