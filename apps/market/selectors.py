"""Reads of market data, for the API and for trading alike (`source` binds them to a mode and a clock).

`mode` selects the market: the paper exchange's or Kraken's. Functions that return a Snapshot call the exchange if the
cached value is not fresh. Do not call them inside a transaction.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from pydantic import TypeAdapter

from apps.core.terms import Mode
from apps.exchange.errors import UnknownPair
from apps.exchange.factory import market_data_for
from apps.exchange.instrument import Instrument
from apps.exchange.port import MarketData
from apps.exchange.types import Ohlc, OrderBook, ServerStatus, Ticker
from apps.market.cache import Shelf, Snapshot, in_memory, is_in_memory, remember
from apps.market.errors import MarketDataUnavailable
from apps.market.models import MarketInstrument
from apps.market.services import FRESH, QUICK, instruments_ensure

# Kraken's candle intervals in minutes.
INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
DEPTH = 100

_TICKERS = Shelf("ticker", TypeAdapter(Ticker), fresh=timedelta(seconds=1))
_CANDLES = Shelf("ohlc", TypeAdapter(Ohlc), fresh=timedelta(seconds=1))
_BOOKS = Shelf("book", TypeAdapter(OrderBook), fresh=timedelta(seconds=1))
_STATUS = Shelf("status", TypeAdapter(ServerStatus), fresh=timedelta(seconds=5))

UNREACHABLE = "unreachable"
# A pair's rules change seldom; a last price for an estimate may be as old.
_IN_MEMORY_SECONDS = 5.0
_SYNTHETIC_KNOWN = timedelta(seconds=30)


def source_mode() -> Mode:
    """The market that the API shows by default."""
    mode: Mode = settings.ENVIRONMENT.market_source
    return mode


def instrument_list(*, mode: Mode) -> QuerySet[MarketInstrument]:
    """The stored instruments; `services.instruments_ensure` refreshes them."""
    return MarketInstrument.objects.filter(exchange=mode)


def instrument_find(*, pair: str, mode: Mode) -> Instrument | None:
    """The stored instrument by altname, code or symbol. Does not call the exchange."""
    named = Q(altname=pair) | Q(code=pair) | Q(symbol=pair)
    row = instrument_list(mode=mode).filter(named).order_by("id").first()
    return row.as_instrument() if row else None


def instrument_kept(*, pair: str, mode: Mode) -> Instrument | None:
    """As `instrument_find`, without a query where this process looked within five seconds."""

    def read() -> Instrument | None:
        return instrument_find(pair=pair, mode=mode)

    return in_memory(_kept_place(mode, pair), read, seconds=_IN_MEMORY_SECONDS)


def instruments_keep(markets: Collection[tuple[Mode, str]]) -> None:
    """Reads the instruments of these modes and altnames by one query, so that `instrument_kept` makes none for each."""
    wanted = [each for each in markets if not is_in_memory(_kept_place(*each), seconds=_IN_MEMORY_SECONDS)]
    if len(wanted) > 1:
        modes, names = {mode for mode, _ in wanted}, {name for _, name in wanted}
        for row in MarketInstrument.objects.filter(exchange__in=modes, altname__in=names):
            remember(_kept_place(Mode(row.exchange), row.altname), row.as_instrument())


def _kept_place(mode: Mode, pair: str) -> str:
    return f"instrument_kept:{mode}:{pair}"


def instrument_listed(*, pair: str, mode: Mode, now: datetime, fresh: timedelta = FRESH) -> Snapshot[Instrument]:
    """By altname, code or symbol, with the age of the list, which is refreshed where it is older than `fresh`.

    Raises UnknownPair, MarketDataUnavailable.
    """
    listed = instruments_ensure(mode=mode, now=now, fresh=fresh)
    instrument = instrument_find(pair=pair, mode=mode)
    if instrument is None:
        raise UnknownPair(f"The exchange does not list {pair}.", pair=pair)
    return Snapshot(instrument, listed.as_of, listed.is_stale)


def instrument_known(*, pair: str, mode: Mode, now: datetime, fresh: timedelta = FRESH) -> Snapshot[Instrument]:
    """As `instrument_listed`, without a query where this process listed the pair within five seconds."""

    def read() -> Snapshot[Instrument]:
        return instrument_listed(pair=pair, mode=mode, now=now, fresh=fresh)

    return in_memory(f"instrument:{mode}:{pair}", read, seconds=_IN_MEMORY_SECONDS)


def instrument_get(*, pair: str, mode: Mode, now: datetime) -> Instrument:
    """By altname, code or symbol. Raises UnknownPair, MarketDataUnavailable."""
    return instrument_known(pair=pair, mode=mode, now=now).value


def ticker_get(*, pair: str, mode: Mode, now: datetime) -> Snapshot[Ticker]:
    """Raises UnknownPair, MarketDataUnavailable."""
    return ticker_of(instrument_get(pair=pair, mode=mode, now=now).altname, mode=mode, now=now)


def ticker_of(name: str, *, mode: Mode, now: datetime, not_before: datetime | None = None) -> Snapshot[Ticker]:
    """Of a listed pair's altname. Raises MarketDataUnavailable. `not_before`: see `Shelf.get`."""
    return _TICKERS.get(mode, name, lambda: _market(mode).ticker(name), now=now, not_before=not_before)


def ticker_kept(*, pair: str, mode: Mode) -> Snapshot[Ticker] | None:
    """The cached ticker of a pair's altname, whatever its age. Does not call the exchange."""
    return in_memory(f"ticker_kept:{mode}:{pair}", lambda: _TICKERS.last(mode, pair), seconds=_IN_MEMORY_SECONDS)


def order_book_get(*, pair: str, mode: Mode, now: datetime) -> Snapshot[OrderBook]:
    """Up to 100 levels per side. Raises UnknownPair, MarketDataUnavailable."""
    return order_book_of(instrument_get(pair=pair, mode=mode, now=now).altname, mode=mode, now=now)


def order_book_of(name: str, *, mode: Mode, now: datetime, not_before: datetime | None = None) -> Snapshot[OrderBook]:
    """Of a listed pair's altname. Raises MarketDataUnavailable. `not_before`: see `Shelf.get`."""
    return _BOOKS.get(mode, name, lambda: _market(mode).order_book(name, DEPTH), now=now, not_before=not_before)


def ohlc_get(*, pair: str, interval_minutes: int, mode: Mode, now: datetime) -> Snapshot[Ohlc]:
    """Up to 720 closed candles, and the forming one. Raises UnknownPair, IntervalNotOffered, MarketDataUnavailable."""
    name = instrument_get(pair=pair, mode=mode, now=now).altname
    return ohlc_of(name, interval_minutes=interval_minutes, mode=mode, now=now)


def ohlc_of(
    name: str, *, interval_minutes: int, mode: Mode, now: datetime, not_before: datetime | None = None
) -> Snapshot[Ohlc]:
    """Of a listed pair's altname. Raises IntervalNotOffered, MarketDataUnavailable. `not_before`: see `Shelf.get`."""
    place = f"{name}:{interval_minutes}"
    return _CANDLES.get(mode, place, lambda: _market(mode).ohlc(name, interval_minutes), now=now, not_before=not_before)


def ohlc_is_kept(*, pair: str, interval_minutes: int, mode: Mode) -> bool:
    """Whether the exchange has answered with candles of this altname and interval lately. Does not call it."""
    return _CANDLES.last(mode, f"{pair}:{interval_minutes}") is not None


def market_status(*, mode: Mode, now: datetime) -> Snapshot[ServerStatus]:
    """The status that the exchange reports, or "unreachable". Does not raise for an exchange that does not answer."""
    try:
        snapshot = _STATUS.get(mode, "", lambda: _market(mode).server_status(), now=now)
    except MarketDataUnavailable:
        return Snapshot(ServerStatus(UNREACHABLE), now)
    if snapshot.is_stale:
        return Snapshot(ServerStatus(UNREACHABLE, is_synthetic=snapshot.value.is_synthetic), now)
    return snapshot


def is_synthetic(*, mode: Mode, now: datetime) -> bool | None:
    """Whether the market's prices are generated. None if the exchange has never reported it."""
    kept = in_memory(f"status_kept:{mode}", lambda: _STATUS.last(mode, ""), seconds=_IN_MEMORY_SECONDS)
    if kept is None or now - kept.as_of > _SYNTHETIC_KNOWN:
        market_status(mode=mode, now=now)
        kept = _STATUS.last(mode, "")
    return kept.value.is_synthetic if kept else None


def _market(mode: Mode) -> MarketData:
    return market_data_for(mode, policy=QUICK)
