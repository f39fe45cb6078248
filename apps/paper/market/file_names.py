"""What the name of a candle file says: ``PAIR_MINUTES.csv``, as in Kraken's downloadable OHLCVT data.

A name is read only where it is clear: in any case, with ``-`` for ``_``, with a suffix after the minutes such as
``_2018-2021`` or the `` (1)`` of a second download. Any other name is refused. Nothing is assumed, because a market
under the wrong name replays wrong prices and looks right.
"""

import os
import re
from itertools import pairwise
from pathlib import Path

from apps.paper.errors import MalformedCandleFile
from apps.paper.instruments import CATALOGUE, Pair

# The intervals of Kraken's dumps and of its OHLC endpoint, in minutes.
INTERVALS_MINUTES = (1, 5, 15, 30, 60, 240, 720, 1440, 10080, 21600)
EXPECTED_FORM = "PAIR_MINUTES.csv"

# A suffix begins with a character that cannot belong to the number: XBTUSD_60m.csv does not say 60.
_CLEAR = re.compile(r"(?P<pair>[A-Z0-9]{5,12})[_-](?P<minutes>[0-9]{1,5})(?:[^A-Z0-9].*)?", re.IGNORECASE | re.DOTALL)
_UNITS = {"M": 1, "MIN": 1, "MINS": 1, "MINUTE": 1, "MINUTES": 1, "T": 1, "H": 60, "HR": 60, "HOUR": 60, "HOURS": 60,
          "D": 1440, "DAY": 1440, "DAYS": 1440, "W": 10080, "WEEK": 10080, "WEEKS": 10080}  # fmt: skip
_WORDS = {"HOURLY": 60, "DAILY": 1440, "WEEKLY": 10080}
_NUMBER = re.compile(r"(?<![A-Z0-9.])([0-9]{1,5})[ _-]?([A-Z]*)(?![A-Z0-9])")


def market_named(path: Path) -> tuple[Pair, int]:
    """The pair, and the length of a candle in minutes.

    A link goes by its own name, else by the name of the file that it leads to; the two may not contradict each other.

    Raises MalformedCandleFile with `line` None where the name is unclear, or where pair or interval are unknown here.
    """
    # Not Path.resolve, which raises for a loop of links.
    target = Path(os.path.realpath(path)).name
    names = dict.fromkeys((path.name, target))
    clear = {
        name: (named["pair"].upper(), int(named["minutes"])) for name in names if (named := _CLEAR.fullmatch(name))
    }
    if not clear:
        raise MalformedCandleFile(path, None, _advice(path.name))
    if len(set(clear.values())) > 1:
        raise MalformedCandleFile(path, None, f"it is a link to {target}, which is another market's name")
    altname, minutes = next(iter(clear.values()))
    if altname not in CATALOGUE:
        raise MalformedCandleFile(path, None, _unknown_pair(altname, minutes))
    if minutes not in INTERVALS_MINUTES:
        known = ", ".join(map(str, INTERVALS_MINUTES))
        raise MalformedCandleFile(path, None, f"{minutes} minutes is not an interval, only {known} are")
    return CATALOGUE[altname], minutes


def _unknown_pair(name: str, minutes: int) -> str:
    problem = f"the exchange does not list {name}, only {', '.join(CATALOGUE)}"
    for pair in CATALOGUE.values():
        if name in _aliases(pair):
            problem += f"; if {name} means {pair.altname}, call the file {pair.altname}_{minutes}.csv"
    return problem


def _advice(name: str) -> str:
    """Why the name is not read, the form that is expected, and what it probably means."""
    pair, minutes = _probable_pair(name), _probable_minutes(name)
    if pair and minutes:
        probable = f"; probably {pair.altname}_{minutes}.csv"
        unsaid = "does not clearly say pair and interval"
    elif pair:
        unsaid = f"says no interval ({pair.altname} alone)"
        probable = f"; for candles of an hour {pair.altname}_60.csv"
    elif minutes:
        unsaid = "says no pair"
        probable = f"; for bitcoin in US dollars XBTUSD_{minutes}.csv"
    else:
        unsaid = "says neither pair nor interval"
        probable = "; for bitcoin in US dollars and candles of an hour XBTUSD_60.csv"
    return f"its name {unsaid}: call it {EXPECTED_FORM}{probable}. The pairs are {', '.join(CATALOGUE)}"


def _probable_pair(name: str) -> Pair | None:
    """The one pair of the catalogue that stands in the name, as a word of its own once separators are gone."""
    letters = re.sub(r"[^A-Z]", " ", name.upper()).split()
    words = {*letters, *(first + second for first, second in pairwise(letters))}
    found = [pair for pair in CATALOGUE.values() if words & _aliases(pair)]
    return found[0] if len(found) == 1 else None


def _probable_minutes(name: str) -> int | None:
    upper = Path(name.upper()).stem
    found = {minutes for word, minutes in _WORDS.items() if word in upper}
    for number, unit in _NUMBER.findall(upper):
        if not unit or unit in _UNITS:
            found.add(int(number) * _UNITS.get(unit, 1))
    found &= set(INTERVALS_MINUTES)
    return found.pop() if len(found) == 1 else None


def _aliases(pair: Pair) -> set[str]:
    """All of Kraken's names of the pair, without separators: XBTUSD, XXBTZUSD, BTCUSD."""
    return {name.replace("/", "") for name in (*pair.names, pair.wsname)}
