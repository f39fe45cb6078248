"""Candles for strategies: closed candles only, up to the limit."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from apps.exchange.types import Candle, Ohlc
from apps.market.selectors import candles
from tests.factories.fake_exchange import FakeExchange


def _candle(hour: int) -> Candle:
    price = Decimal(50_000 + hour)
    return Candle(
        opened_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour),
        open=price,
        high=price,
        low=price,
        close=price,
        average=price,
        volume=Decimal(1),
        trades=1,
    )


@pytest.mark.parametrize(("limit", "hours"), [(720, [0, 1, 2, 3]), (2, [2, 3]), (1, [3]), (0, [])])
def test_the_last_closed_candles_oldest_first(limit: int, hours: list[int]) -> None:
    fake = FakeExchange()
    fake.set_candles([_candle(hour) for hour in range(4)])

    assert [candle.opened_at.hour for candle in candles(fake, "XBTUSD", 60, limit)] == hours


def test_the_forming_candle_is_none_of_them() -> None:
    fake = FakeExchange()
    fake.on("ohlc", instead=lambda *_: Ohlc((_candle(0),), forming=_candle(1)))

    assert candles(fake, "XBTUSD", 60) == [_candle(0)]
