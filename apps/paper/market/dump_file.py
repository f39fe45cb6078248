"""Reads Kraken's downloadable OHLCVT files: ``unix_seconds,open,high,low,close,volume,trades``, no header.

Source of the format and of the file names (``XBTUSD_60.csv``): Kraken's "Downloadable historical OHLCVT data". Hours
without a trade have no row there, and have none here.
"""

import hashlib
import os
import re
import stat
from array import array
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from apps.paper.errors import MalformedCandleFile, UnreadableCandleFile
from apps.paper.instruments import Pair
from apps.paper.market.candles import CandleSeries
from apps.paper.market.file_names import INTERVALS_MINUTES, market_named

COLUMNS = ("time", "open", "high", "low", "close", "volume", "trades")
LARGEST = 10**17  # in ticks or lots: products stay exact in 28 digits
# About 10 µs of processor time a row, each time that a process starts; the web server gives a start 60 s.
MOST_CANDLES = 2_000_000
_LONGEST_LINE = 1024  # bytes; seven columns of the largest numbers need fewer than 200
_NUMBER = r"(\d+)(?:\.(\d+))?"
_ROW = re.compile(rf"(\d{{1,11}}),{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER},(\d{{1,12}})\r?", re.ASCII)
_OTHER_FORMATS = {
    "\x1f\x8b": "the file is compressed; unpack it",
    "PK\x03\x04": "the file is compressed; unpack it",
    "\xef\xbb\xbf": "it begins with a byte order mark; save the file as plain text without one",
}
_PLAIN = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def load_candles(path: Path) -> CandleSeries:
    """Reads and checks a whole file, line by line: the file is never in memory as a whole.

    Pair and interval come from the file's name, and the spacing of the rows must bear the interval out. Prices are
    rounded half up to the pair's tick, volumes to its lot, because orders trade on that grid.

    Raises MalformedCandleFile naming the line and what is wrong there, UnreadableCandleFile where there is no such
    file.
    """
    pair, interval_minutes = market_named(path)
    digest = hashlib.sha256()
    rows = _Rows(path, pair, interval_minutes)
    try:
        with _opened(path) as file:
            for number, line in enumerate(iter(partial(file.readline, _LONGEST_LINE), b""), start=1):
                if len(line) == _LONGEST_LINE:
                    raise MalformedCandleFile(path, number, "the line is too long to be a row")
                digest.update(line)
                rows.append(number, line.decode("latin-1").removesuffix("\n"))
    except OSError as error:
        raise UnreadableCandleFile(f"The candle file {path} cannot be read: {error.strerror}.") from None
    return CandleSeries(
        pair=pair,
        interval_minutes=interval_minutes,
        source=path.name,
        synthetic=False,
        fingerprint=digest.hexdigest(),
        **rows.finish(),
    )


def _opened(path: Path) -> BinaryIO:
    """Refuses what is no regular file: a pipe or a device may never end, or never answer."""
    # Without O_NONBLOCK a pipe that nothing writes to would block here.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UnreadableCandleFile(f"The candle file {path} cannot be read: it is not a regular file.")
    return file


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
    spacings: "Counter[int]" = field(default_factory=Counter)

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
        if len(self.columns["times"]) == MOST_CANDLES:
            raise self._malformed(
                number,
                f"it has more than {MOST_CANDLES} candles; keep its end: tail -n {MOST_CANDLES}, the name unchanged",
            )
        if self.previous_time >= 0:
            self.spacings[time - self.previous_time] += 1
        self.previous_time = time
        for column, value in zip(self.columns.values(), (time, *prices, volume, trades), strict=True):
            column.append(value)

    def _problem(self, time: int, prices: list[int], volume: int) -> str | None:
        """The first rule that the row breaks. Valid rows take the short path."""
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
                f"time {time} is not on the {self.interval_minutes} minute grid that the file's name says",
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
        self._check_spacing()
        return self.columns

    def _check_spacing(self) -> None:
        """Candles without a trade are missing from Kraken's files, so single gaps say nothing.

        A file contradicts its name where no two rows are one interval apart, or where most are further apart.
        """
        interval = self.interval_minutes * 60
        spacing, count = max(self.spacings.items(), key=lambda each: (each[1], -each[0]))
        is_borne_out = interval in self.spacings and (spacing == interval or 2 * count <= self.spacings.total())
        if is_borne_out:
            return
        minutes = spacing // 60
        problem = f"its rows are {minutes} minutes apart, but its name says {self.interval_minutes}"
        if minutes in INTERVALS_MINUTES:
            problem += f"; call it {self.pair.altname}_{minutes}.csv"
        raise MalformedCandleFile(self.path, None, problem)

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
    for beginning, problem in _OTHER_FORMATS.items():
        if line.startswith(beginning):
            return problem
    cells = line.rstrip("\r").split(",")
    if len(cells) != len(COLUMNS):
        return f"{len(cells)} columns instead of {len(COLUMNS)} ({','.join(COLUMNS)})"
    for name, cell in zip(COLUMNS, cells, strict=True):
        shown = ascii(cell if len(cell) <= 40 else f"{cell[:40]}…")
        if name == "time" and cell.strip().strip('"').isalpha():
            return f"time is {shown}, not a whole number; if this is a header, remove it: Kraken's files have none"
        if name in ("time", "trades") and not (cell.isascii() and cell.isdigit()):
            return f"{name} is {shown}, not a whole number"
        if not _PLAIN.fullmatch(cell):
            return f"{name} is {shown}, not a plain decimal number"
    return "a number is too large"
