"""The port to an exchange. The adapter in `kraken/` implements it; tests have a fake in memory.

An instance belongs to one thread. No method may be called inside a database transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from apps.core.errors import PlatformError
from apps.core.terms import Mode
from apps.exchange.instrument import Instrument
from apps.exchange.types import (
    Balance,
    Cancellation,
    ExchangeOrder,
    ExchangeTrade,
    FeeRates,
    KeyInfo,
    LedgerRow,
    Ohlc,
    OrderBook,
    OrderRequest,
    ServerStatus,
    Submission,
    Ticker,
)


class Credential(Protocol):
    """API key and secret for private calls. Never log it."""

    @property
    def mode(self) -> Mode: ...
    @property
    def api_key(self) -> str: ...
    @property
    def api_secret(self) -> str: ...


class MarketData(Protocol):
    """Public market data. Every method raises ExchangeUnavailable, ExchangeRateLimited or UnknownPair.

    A pair may be given as altname (XBTUSD), code (XXBTZUSD) or symbol (BTC/USD).
    """

    @property
    def mode(self) -> Mode: ...

    def server_status(self) -> ServerStatus: ...

    def server_time(self) -> datetime:
        """The exchange's clock, in whole seconds, rounded down."""
        ...

    def instruments(self) -> list[Instrument]: ...

    def instrument(self, pair: str) -> Instrument: ...

    def ticker(self, pair: str) -> Ticker: ...

    def ohlc(self, pair: str, interval_minutes: int, since: datetime | None = None) -> Ohlc:
        """Up to 720 closed candles, after `since` where given. Raises IntervalNotOffered."""
        ...

    def order_book(self, pair: str, depth: int = 25) -> OrderBook: ...


class Exchange(MarketData, Protocol):
    """An account on an exchange.

    Reads raise ExchangeUnavailable, ExchangeRateLimited, KeyInvalid, KeyLocked, KeyLacksPermission, ExchangeRefused or
    NotSent, and may be repeated.
    """

    def balances(self) -> dict[str, Balance]:
        """By asset code; assets without a balance are missing."""
        ...

    def open_orders(self, client_order_id: str | None = None) -> list[ExchangeOrder]:
        """Live orders, oldest first."""
        ...

    def closed_orders(self, client_order_id: str | None = None, start: datetime | None = None) -> list[ExchangeOrder]:
        """Ended orders, opened or closed after `start` (whole seconds), oldest first. Raises HistoryTooLong."""
        ...

    def orders(self, exchange_order_ids: Sequence[str]) -> dict[str, ExchangeOrder]:
        """By exchange order id. An id that the exchange does not know is missing: no proof that it never existed."""
        ...

    def trades_of(self, trade_ids: Sequence[str]) -> dict[str, ExchangeTrade]:
        """By trade id; unknown ones are missing."""
        ...

    def trades_history(self, start: datetime | None = None) -> list[ExchangeTrade]:
        """Fills after `start` (whole seconds), oldest first. Raises HistoryTooLong."""
        ...

    def ledger(self, start: datetime | None = None) -> list[LedgerRow]:
        """Changes of balances after `start` (whole seconds), oldest first. Raises HistoryTooLong."""
        ...

    def submit(self, order: OrderRequest) -> Submission:
        """Places an order; sends it at most once, with a deadline that is never later than the order's.

        Raises OutcomeUnknown where it may have been placed, NotSent where it certainly was not.
        """
        ...

    def cancel(
        self,
        *,
        exchange_order_id: str | None = None,
        client_order_id: str | None = None,
        pair: str = "",
        placed_at: datetime | None = None,
    ) -> Cancellation:
        """Cancels one order, by exactly one of the ids. Safe to repeat. Raises what reads raise.

        `pair` and `placed_at` are those of the order: a cancel is charged to the pair by the order's age.
        """
        ...

    def suspend_key(self, error: PlatformError) -> None:
        """Takes the key out of use in every process, until it passes a test: the error proves that it is of no use.

        A key that the exchange refuses is suspended without this.
        """
        ...

    def key_info(self) -> KeyInfo: ...

    def trade_volume(self, pair: str) -> FeeRates: ...
