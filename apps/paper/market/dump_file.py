"""Reads Kraken's downloadable OHLCVT files: ``unix_seconds,open,high,low,close,volume,trades``, no header.

Source of the format and of the file names (``XBTUSD_60.csv``): Kraken's "Downloadable historical OHLCVT data". Hours
without a trade have no row there, and have none here.
"""

import hashlib
import re
from array import array
from dataclasses import dataclass, field
from pathlib import Path

from apps.paper.errors import MalformedCandleFile, UnreadableCandleFile
from apps.paper.instruments import CATALOGUE, Pair
from apps.paper.market.candles import CandleSeries

DEFAULT_PAIR = "XBTUSD"
DEFAULT_INTERVAL_MINUTES = 60
INTERVALS_MINUTES = (1, 5, 15, 30, 60, 240, 720, 1440, 10080, 21600)
COLUMNS = ("time", "open", "high", "low", "close", "volume", "trades")
LARGEST = 10**17  # in ticks or lots: products stay exact in 28 digits

_NAME = re.compile(r"(?P<pair>[A-Z0-9]{5,12})_(?P<minutes>\d{1,5})(?:[_.].*)?")
_NUMBER = r"(\d+)(?:\.(\d+))?"
_ROW = re.compile(rf"(\d{{1,11}}),{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER},(\d{{1,12}})\r?", re.ASCII)
_PLAIN = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def load_candles(path: Path) -> CandleSeries:
    """Reads and checks a whole file.

    Pair and interval come from the file's name; a name that says neither means XBTUSD, 60 minutes. Prices are rounded
    half up to the pair's tick, volumes to its lot, because orders trade on that grid.

    Raises MalformedCandleFile naming the line and what is wrong there, UnreadableCandleFile where there is no such
    file.
    """
    pair, interval_minutes = _market_of(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UnreadableCandleFile(f"The candle file {path} cannot be read: {error.strerror}.") from None
    rows = _Rows(path, pair, interval_minutes)
    for number, line in enumerate(raw.decode("latin-1").split("\n"), start=1):
        rows.append(number, line)
    return CandleSeries(
        pair=pair,
        interval_minutes=interval_minutes,
        source=path.name,
        synthetic=False,
        fingerprint=hashlib.sha256(raw).hexdigest(),
        **rows.finish(),
    )


def _market_of(path: Path) -> tuple[Pair, int]:
    named = _NAME.fullmatch(path.name)
    if named is None:
        return CATALOGUE[DEFAULT_PAIR], DEFAULT_INTERVAL_MINUTES
    if named["pair"] not in CATALOGUE:
        raise MalformedCandleFile(
            path, None, f"the exchange does not list {named['pair']}, only {', '.join(CATALOGUE)}"
        )
    if int(named["minutes"]) not in INTERVALS_MINUTES:
        known = ", ".join(map(str, INTERVALS_MINUTES))
        raise MalformedCandleFile(path, None, f"{named['minutes']} minutes is not an interval, only {known} are")
    return CATALOGUE[named["pair"]], int(named["minutes"])


@dataclass
class _Rows:
    path: Path
    pair: Pair
    interval_minutes: int
    columns: dict[str, "array[int]"] = field(
        default_factory=lambda: {
            name: array("q") for name in ("times", "opens", "highs", "lows", "closes", "volumes", "trades")
        }
    )
    previous_time: int = -1
    blank_line: int | None = None

    def append(self, number: int, line: str) -> None:
        if not line.strip():
            self.blank_line = self.blank_line or number
            return
        if self.blank_line is not None:
            raise self._malformed(self.blank_line, "the line is empty")
        row = _ROW.fullmatch(line)
        if row is None:
            raise self._malformed(number, _what_is_wrong(line))
        price_decimals = self.pair.pair_decimals
        time, trades = int(row[1]), int(row[12])
        prices = [_scaled(row[i], row[i + 1], price_decimals) for i in (2, 4, 6, 8)]
        volume = _scaled(row[10], row[11], self.pair.lot_decimals)
        problem = self._problem(time, prices, volume)
        if problem:
            raise self._malformed(number, problem)
        self.previous_time = time
        for column, value in zip(self.columns.values(), (time, *prices, volume, trades), strict=True):
            column.append(value)

    def _problem(self, time: int, prices: list[int], volume: int) -> str | None:
        """The first rule that the row breaks; the cheap checks of a good row come first."""
        open_, high, low, close = prices
        if (
            time > self.previous_time
            and time % (self.interval_minutes * 60) == 0
            and 1 <= low <= open_ <= high < LARGEST
            and low <= close <= high
            and volume < LARGEST
        ):
            return None
        rules = (
            (time > self.previous_time, f"time {time} does not come after the previous row's {self.previous_time}"),
            (
                time % (self.interval_minutes * 60) == 0,
                f"time {time} is not on the {self.interval_minutes} minute grid",
            ),
            (low <= high, "high is below low"),
            (low <= open_ <= high, "open is not between low and high"),
            (low <= close <= high, "close is not between low and high"),
            (low >= 1, f"low is below the smallest price, {self.pair.tick_size}"),
        )
        return next((problem for holds, problem in rules if not holds), "a number is too large")

    def finish(self) -> dict[str, "array[int]"]:
        rows = len(self.columns["times"])
        if rows == 0:
            raise MalformedCandleFile(self.path, 1, "the file is empty")
        if rows == 1:
            raise self._malformed(1, "it is the only candle; a market needs at least two")
        return self.columns

    def _malformed(self, number: int, problem: str) -> MalformedCandleFile:
        return MalformedCandleFile(self.path, number, problem)


def _scaled(whole: str, fraction: str | None, decimals: int) -> int:
    """The number times 10**decimals, rounded half up."""
    if not fraction:
        return int(whole + "0" * decimals)
    if len(fraction) <= decimals:
        return int(whole + fraction.ljust(decimals, "0"))
    return int(whole + fraction[:decimals]) + (fraction[decimals] >= "5")


def _what_is_wrong(line: str) -> str:
    cells = line.rstrip("\r").split(",")
    if len(cells) != len(COLUMNS):
        return f"{len(cells)} columns instead of {len(COLUMNS)} ({','.join(COLUMNS)})"
    for name, cell in zip(COLUMNS, cells, strict=True):
        shown = ascii(cell if len(cell) <= 40 else f"{cell[:40]}…")
        if name in ("time", "trades") and not (cell.isascii() and cell.isdigit()):
            return f"{name} is {shown}, not a whole number"
        if not _PLAIN.fullmatch(cell):
            return f"{name} is {shown}, not a plain decimal number"
    return "a number is too large"
