"""Market data of one mode for trading: the source that the API shows, shared by all bots and processes."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from apps.core.errors import PlatformError
from apps.core.terms import Mode
from apps.exchange.instrument import Instrument
from apps.exchange.types import Ohlc, OrderBook, Ticker
from apps.market import selectors
from apps.market.cache import Snapshot
from apps.market.errors import MarketDataUnavailable
from apps.market.services import instruments_ensure

# An order is sized with a price that the exchange was asked for at most this long ago.
PRICE_MAX_AGE = timedelta(seconds=1)
# An order does not wait for a new list of pairs, which is long, while one keeps the list (`keep_listed`).
_LIST_FRESH = timedelta(minutes=3)
# During an outage the pair's rules are trusted this long: they change rarely.
INSTRUMENT_MAX_AGE = timedelta(hours=1)


class MarketSource(Protocol):
    """Public market data of one mode. Nothing older than stated is returned; every value says when it was asked for.

    Raises MarketDataUnavailable, which a retry may cure, UnknownPair and IntervalNotOffered. Not inside a transaction.
    """

    def instrument(self, pair: str) -> Snapshot[Instrument]:
        """Up to an hour old."""
        ...

    def ticker(self, pair: str) -> Snapshot[Ticker]:
        """Up to PRICE_MAX_AGE old."""
        ...

    def order_book(self, pair: str) -> Snapshot[OrderBook]:
        """Up to PRICE_MAX_AGE old."""
        ...

    def ohlc(self, pair: str, interval_minutes: int, *, not_before: datetime | None = None) -> Snapshot[Ohlc]:
        """Asked for at `not_before` or later; without it, up to PRICE_MAX_AGE old."""
        ...


@dataclass(frozen=True, slots=True)
class SharedMarket:
    """The market of a mode through the cache that all processes share."""

    mode: Mode
    clock: Callable[[], datetime]

    def instrument(self, pair: str) -> Snapshot[Instrument]:
        listed = self._listed(pair)
        if self.clock() - listed.as_of > INSTRUMENT_MAX_AGE:
            raise MarketDataUnavailable("The exchange does not answer, and its list of pairs is too old.")
        return listed

    def ticker(self, pair: str) -> Snapshot[Ticker]:
        now = self.clock()
        return selectors.ticker_of(self._name(pair), mode=self.mode, now=now, not_before=now - PRICE_MAX_AGE)

    def order_book(self, pair: str) -> Snapshot[OrderBook]:
        now = self.clock()
        return selectors.order_book_of(self._name(pair), mode=self.mode, now=now, not_before=now - PRICE_MAX_AGE)

    def ohlc(self, pair: str, interval_minutes: int, *, not_before: datetime | None = None) -> Snapshot[Ohlc]:
        now = self.clock()
        return selectors.ohlc_of(
            self._name(pair),
            interval_minutes=interval_minutes,
            mode=self.mode,
            now=now,
            not_before=not_before or now - PRICE_MAX_AGE,
        )

    def keep_listed(self) -> None:
        """Refreshes the list of pairs where it is a minute old. An exchange that does not answer changes nothing."""
        with contextlib.suppress(PlatformError):
            instruments_ensure(mode=self.mode, now=self.clock())

    def _name(self, pair: str) -> str:
        return self._listed(pair).value.altname

    def _listed(self, pair: str) -> Snapshot[Instrument]:
        return selectors.instrument_known(pair=pair, mode=self.mode, now=self.clock(), fresh=_LIST_FRESH)
