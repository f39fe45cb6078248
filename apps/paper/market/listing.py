"""The markets that this process replays, from its settings. Files are read and checked once, at the first call."""

from functools import cache
from pathlib import Path

from django.conf import settings

from apps.paper.errors import MalformedCandleFile, UnreadableCandleFile
from apps.paper.instruments import CATALOGUE
from apps.paper.market.candles import CandleSeries
from apps.paper.market.dump_file import load_candles
from apps.paper.market.path import STEPS
from apps.paper.market.synthetic import generate_candles

SYNTHETIC_PAIRS = ("XBTUSD", "ETHUSD")


def listed_markets() -> dict[str, CandleSeries]:
    """Series by altname. MARKET_DATA is a candle file or a folder of them (``*.csv``); if it is empty, the series are
    generated.

    Raises MalformedCandleFile or UnreadableCandleFile, whose message is for the operator.
    """
    return _listed(Path(settings.MARKET_DATA) if settings.MARKET_DATA else None, settings.MARKET_SEED)


@cache
def _listed(path: Path | None, seed: int) -> dict[str, CandleSeries]:
    if path is None:
        return {name: generate_candles(CATALOGUE[name], seed=seed) for name in SYNTHETIC_PAIRS}
    files = _candle_files(path) if _is_folder(path) else [path]
    if not files:
        raise UnreadableCandleFile(f"The folder {path} holds no candle file (*.csv).")
    markets: dict[str, CandleSeries] = {}
    for file in files:
        series = load_candles(file)
        if series.pair.altname in markets:
            other = markets[series.pair.altname].source
            raise MalformedCandleFile(
                file, None, f"{other} holds candles of {series.pair.altname} already; a folder has one file a pair"
            )
        markets[series.pair.altname] = series
    return markets


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # Reading it as a file says what is wrong.


def _candle_files(folder: Path) -> list[Path]:
    """Every ``*.csv`` in any case. Hidden files are left out: some archivers add ``._XBTUSD_60.csv`` of their own."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv" and path.name[0] != ".")
    except OSError as error:
        raise UnreadableCandleFile(f"The folder {folder} cannot be read: {error.strerror}.") from None


def start_step(series: CandleSeries) -> int:
    """The first step of a market: after MARKET_START_CANDLE candles of history, at most half of the series."""
    candle: int = max(1, min(settings.MARKET_START_CANDLE, len(series) // 2))
    return candle * STEPS
