"""The smoke test's market, asked of the real paper exchange over HTTP."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from apps.ops.smoke_test.client import SmokeTestFailed
from apps.ops.smoke_test.market import played_market
from apps.paper.models import Market

Play = Callable[..., str]
FIRST_TIME = 1514764800 // 604800 * 604800


def _candles(folder: Path, name: str, minutes: int, count: int) -> Path:
    path = folder / name
    path.write_text("".join(f"{FIRST_TIME + n * minutes * 60},100,101,99,100,5,7\n" for n in range(count)))
    return path


@pytest.fixture
def play(settings: Settings, live_server: LiveServer, tmp_path: Path) -> Play:
    """Replays one file, or the folder of them all; returns the exchange's address."""
    settings.ROOT_URLCONF = "paper_exchange.urls"
    settings.MARKET_START_CANDLE = 1

    def begin(*files: tuple[str, int, int], candle_seconds: float = 1.0) -> str:
        paths = [_candles(tmp_path, *file) for file in files]
        settings.MARKET_DATA = paths[0] if len(paths) == 1 else tmp_path
        settings.MARKET_CANDLE_SECONDS = candle_seconds
        return str(live_server.url)

    return begin


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("name", "minutes", "expected"),
    [
        ("ETHUSD_60.csv", 60, ("ETHUSD", 60, 1)),
        ("XBTUSD_1440.csv", 1440, ("XBTUSD", 1440, 1)),
        ("SOLUSD_1.csv", 1, ("SOLUSD", 1, 1)),
        ("XDGUSD_10080 (1).csv", 10080, ("XDGUSD", 10080, 1)),
        # The platform has no bots for twelve hours; two such candles make a day.
        ("XBTUSD_720.csv", 720, ("XBTUSD", 1440, 2)),
    ],
)
def test_the_bot_trades_what_the_exchange_plays(
    play: Play, name: str, minutes: int, expected: tuple[str, int, float]
) -> None:
    market = played_market(play((name, minutes, 100)))

    assert (market.pair, market.interval_minutes, market.candle_seconds) == expected
    assert 90 < market.seconds_left <= 99
    assert market.title == f"recorded: {name}"


def test_of_two_markets_the_longer_one_is_taken(play: Play) -> None:
    url = play(("ETHUSD_60.csv", 60, 50), ("XBTUSD_240.csv", 240, 90))

    assert played_market(url).pair == "XBTUSD"


def test_slow_candles_are_waited_for(play: Play) -> None:
    assert played_market(play(("XBTUSD_60.csv", 60, 100), candle_seconds=10)).first_trade_seconds == 400


def test_candles_too_slow_to_wait_for_are_said_at_once(play: Play) -> None:
    url = play(("XBTUSD_60.csv", 60, 100), candle_seconds=3600)

    with pytest.raises(SmokeTestFailed, match=r"A candle of XBTUSD lasts 3600 s here.*MUCKARD_MARKET_CANDLE_SECONDS"):
        played_market(url)


def test_a_market_at_its_end_is_said_at_once(play: Play) -> None:
    url = play(("XBTUSD_60.csv", 60, 30))
    played_market(url)
    Market.objects.update(started_at=timezone.now() - timedelta(hours=1))

    with pytest.raises(SmokeTestFailed, match=r"XBTUSD \(XBTUSD_60\.csv\) has ended or is about to.*restart_market"):
        played_market(url)


def test_an_exchange_that_does_not_answer_is_said() -> None:
    with pytest.raises(SmokeTestFailed, match=r"does not say at http://127\.0\.0\.1:9/paper/market what it plays"):
        played_market("http://127.0.0.1:9")
