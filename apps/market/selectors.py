"""Market data: what everybody may see, and candles for strategies.

`mode` says whose market: that of the paper exchange or of Kraken. Functions that answer with a Snapshot ask the
exchange where what is kept is not fresh, so none is called inside a transaction.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from pydantic import TypeAdapter

from apps.core.terms import Mode
from apps.exchange.errors import ExchangeRefused, UnknownPair
from apps.exchange.factory import market_data_for
from apps.exchange.instrument import Instrument
from apps.exchange.port import MarketData
from apps.exchange.types import Candle, Ohlc, OrderBook, ServerStatus, Ticker
from apps.market.cache import Shelf, Snapshot
from apps.market.errors import IntervalNotOffered, MarketDataUnavailable
from apps.market.models import MarketInstrument
from apps.market.services import QUICK, instruments_ensure

# Kraken's candle lengths in minutes
INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
DEPTH = 100

_TICKERS = Shelf("ticker", TypeAdapter(Ticker), fresh=timedelta(seconds=1))
_CANDLES = Shelf("ohlc", TypeAdapter(Ohlc), fresh=timedelta(seconds=1))
_BOOKS = Shelf("book", TypeAdapter(OrderBook), fresh=timedelta(seconds=1))
_STATUS = Shelf("status", TypeAdapter(ServerStatus), fresh=timedelta(seconds=5))

UNREACHABLE = "unreachable"
_SYNTHETIC_KNOWN = timedelta(seconds=30)
_NO_SUCH_INTERVAL = "EGeneral:Invalid arguments"


def source_mode() -> Mode:
    """Whose market the API shows where nobody says otherwise."""
    mode: Mode = settings.ENVIRONMENT.market_source
    return mode


def instrument_list(*, mode: Mode) -> QuerySet[MarketInstrument]:
    """As stored; `services.instruments_ensure` sees to it that something is."""
    return MarketInstrument.objects.filter(exchange=mode)


def instrument_get(*, pair: str, mode: Mode, now: datetime) -> Instrument:
    """By altname, code or symbol. Raises UnknownPair, MarketDataUnavailable."""
    instruments_ensure(mode=mode, now=now)
    named = Q(altname=pair) | Q(code=pair) | Q(symbol=pair)
    row = instrument_list(mode=mode).filter(named).order_by("id").first()
    if row is None:
        raise UnknownPair(f"The exchange does not list {pair}.", pair=pair)
    return row.as_instrument()


def ticker_get(*, pair: str, mode: Mode, now: datetime) -> Snapshot[Ticker]:
    """Raises UnknownPair, MarketDataUnavailable."""
    name = instrument_get(pair=pair, mode=mode, now=now).altname
    return _TICKERS.get(mode, name, lambda: _market(mode).ticker(name), now=now)


def order_book_get(*, pair: str, mode: Mode, now: datetime) -> Snapshot[OrderBook]:
    """Up to 100 levels a side. Raises UnknownPair, MarketDataUnavailable."""
    name = instrument_get(pair=pair, mode=mode, now=now).altname
    return _BOOKS.get(mode, name, lambda: _market(mode).order_book(name, DEPTH), now=now)


def ohlc_get(*, pair: str, interval_minutes: int, mode: Mode, now: datetime) -> Snapshot[Ohlc]:
    """Up to 720 closed candles, and the forming one. Raises UnknownPair, IntervalNotOffered, MarketDataUnavailable."""
    name = instrument_get(pair=pair, mode=mode, now=now).altname

    def ask() -> Ohlc:
        try:
            return _market(mode).ohlc(name, interval_minutes)
        except ExchangeRefused as refused:
            if not refused.exchange_error.startswith(_NO_SUCH_INTERVAL):
                raise
            raise IntervalNotOffered(
                f"There are no candles of {interval_minutes} minutes for {name}.", interval_minutes=interval_minutes
            ) from refused

    return _CANDLES.get(mode, f"{name}:{interval_minutes}", ask, now=now)


def market_status(*, mode: Mode, now: datetime) -> Snapshot[ServerStatus]:
    """The exchange's own word, or "unreachable"; never raises for its silence."""
    try:
        snapshot = _STATUS.get(mode, "", lambda: _market(mode).server_status(), now=now)
    except MarketDataUnavailable:
        return Snapshot(ServerStatus(UNREACHABLE), now)
    if snapshot.is_stale:
        return Snapshot(ServerStatus(UNREACHABLE, is_synthetic=snapshot.value.is_synthetic), now)
    return snapshot


def is_synthetic(*, mode: Mode, now: datetime) -> bool | None:
    """Whether the market's prices are generated; None while the exchange has never said."""
    kept = _STATUS.last(mode, "")
    if kept is None or now - kept.as_of > _SYNTHETIC_KNOWN:
        market_status(mode=mode, now=now)
        kept = _STATUS.last(mode, "")
    return kept.value.is_synthetic if kept else None


def candles(exchange: MarketData, pair: str, interval_minutes: int, limit: int = 720) -> list[Candle]:
    """The last closed candles, oldest first, straight from the exchange: what strategies decide on.

    Raises what the exchange's reads raise.
    """
    closed = exchange.ohlc(pair, interval_minutes).closed
    return list(closed[-limit:]) if limit > 0 else []


def _market(mode: Mode) -> MarketData:
    return market_data_for(mode, policy=QUICK)
