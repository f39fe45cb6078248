import math
from statistics import correlation

from apps.paper.instruments import CATALOGUE
from apps.paper.market.synthetic import FIRST_TIME, generate_candles

XBTUSD = CATALOGUE["XBTUSD"]


def test_equal_seeds_make_equal_markets_and_others_make_others() -> None:
    first, again, other = (generate_candles(XBTUSD, seed=seed, candles=200) for seed in (7, 7, 8))

    assert first.closes == again.closes
    assert first.volumes == again.volumes
    assert first.closes != other.closes
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_it_says_that_it_is_synthetic() -> None:
    series = generate_candles(XBTUSD, seed=7, candles=10)

    assert series.synthetic
    assert series.source == "generated from seed 7"


def test_candles_are_hourly_sound_and_join_one_another() -> None:
    series = generate_candles(XBTUSD, seed=3, candles=2_000)

    for index in range(len(series)):
        candle = series.candle(index)
        assert candle.time == FIRST_TIME + index * 3600
        assert 1 <= candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
        assert candle.volume > 0
        assert candle.trades > 0
        assert index == 0 or candle.open == series.closes[index - 1]


def test_volatility_comes_in_clusters() -> None:
    series = generate_candles(XBTUSD, seed=11, candles=8_000)
    moves = [abs(math.log(close / open_)) for open_, close in zip(series.opens, series.closes, strict=True)]

    assert correlation(moves[:-1], moves[1:]) > 0.1
    assert correlation(moves[:-500], moves[500:]) < 0.1
