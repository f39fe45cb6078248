"""An exchange in memory, for tests of trading code: deterministic, with hooks for every way in which it may fail."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import wraps
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

from django.db import connection

from apps.core.errors import PlatformError
from apps.core.terms import Mode
from apps.exchange.errors import NotSent, OutcomeUnknown
from apps.exchange.instrument import Instrument
from apps.exchange.types import (
    ZERO,
    Balance,
    Cancellation,
    Candle,
    ExchangeOrder,
    ExchangeTrade,
    FeeRates,
    KeyInfo,
    LedgerRow,
    Level,
    Ohlc,
    OrderBook,
    OrderRequest,
    Rejected,
    ServerStatus,
    Submission,
    Ticker,
)
from tests.factories.fake_account import ALL_PERMISSIONS, XBTUSD, FakeAccount

Given = ParamSpec("Given")
Answer = TypeVar("Answer")
Hook = Callable[..., Any]

EVERY_CALL = "*"


class SubmitFault(StrEnum):
    """What goes wrong with a placement."""

    LOST_BEFORE = "lost_before"  # OutcomeUnknown, and the order was not placed
    LOST_AFTER = "lost_after"  # OutcomeUnknown, and the order was placed
    NOT_SENT = "not_sent"


def hooked(
    method: Callable[Concatenate["FakeExchange", Given], Answer],
) -> Callable[Concatenate["FakeExchange", Given], Answer]:
    """A call of the port, with the hooks of its name around it."""
    name = method.__name__

    @wraps(method)
    def call(self: "FakeExchange", /, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        self.calls.append(name)
        for hook in [*self._before[EVERY_CALL], *self._before[name]]:
            hook(*args, **kwargs)
        if name in self._instead:
            instead: Answer = self._instead[name](*args, **kwargs)
            return instead
        # Hooks may wait; the state changes for one thread at a time.
        with self._lock:
            answer = method(self, *args, **kwargs)
        for hook in self._after[name]:
            answer = hook(answer)
        return answer

    return call


class FakeExchange(FakeAccount):
    """Implements the port over an account in memory. May serve several threads.

    `next_submits` takes faults and refusals for the coming placements, one each; `fail_reads` an error for coming
    reads; `on` a hook for any call. `submitted` has every request that was sent, `calls` the name of every call.
    """

    def __init__(
        self,
        *,
        mode: Mode = Mode.PAPER,
        price: Decimal = Decimal("30000"),
        balances: dict[str, Decimal] | None = None,
        fee_rate: Decimal = Decimal("0.004"),
        now: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        listed: Sequence[Instrument] = (XBTUSD,),
    ) -> None:
        super().__init__(price=price, balances=balances, fee_rate=fee_rate, now=now, listed=listed)
        self.mode: Mode = mode
        self.candles: dict[tuple[str, int], list[Candle]] = {}
        self.status = ServerStatus("online", now, is_synthetic=True)
        self.key = KeyInfo(name="fake", permissions=ALL_PERMISSIONS)
        # The exchange's own clock; contexts of tests give it theirs.
        self.clock: Callable[[], datetime] = lambda: now
        self.next_submits: deque[SubmitFault | Rejected] = deque()
        self.submitted: list[OrderRequest] = []
        self.calls: list[str] = []
        self.suspended_for: list[PlatformError] = []
        self._read_failures: deque[Exception] = deque()
        self._before: defaultdict[str, list[Hook]] = defaultdict(list)
        self._after: defaultdict[str, list[Hook]] = defaultdict(list)
        self._instead: dict[str, Hook] = {}
        self._lock = threading.RLock()

    # --- steering

    def on(
        self, call: str, *, before: Hook | None = None, instead: Hook | None = None, after: Hook | None = None
    ) -> None:
        """Hooks of a call, by its name in the port. `before` and `instead` get the arguments of the call.

        `before` may look, wait or raise; `instead` answers in place of the exchange; `after` gets the answer and
        returns the one to give. EVERY_CALL takes a `before` only.
        """
        if before is not None:
            self._before[call].append(before)
        if instead is not None:
            self._instead[call] = instead
        if after is not None:
            self._after[call].append(after)

    def off(self, call: str) -> None:
        """Removes the hooks of a call."""
        self._before.pop(call, None)
        self._after.pop(call, None)
        self._instead.pop(call, None)

    def refuse_in_transactions(self) -> None:
        """From now on a call inside a transaction fails, as with the real exchange; one that is open already is not
        counted: it is the test's own."""
        own = _open_transactions()

        def refuse(*_: object, **__: object) -> None:
            assert _open_transactions() <= own, "an exchange is asked inside a transaction"

        self.on(EVERY_CALL, before=refuse)

    def set_candles(self, candles: Sequence[Candle], pair: str = "XBTUSD", interval_minutes: int = 60) -> None:
        """The closed candles; the market's price becomes the last close."""
        self.candles[pair, interval_minutes] = list(candles)
        self.set_price(candles[-1].close, pair)

    def fail_reads(self, *errors: Exception) -> None:
        """The coming calls, other than placements, raise these, one each."""
        self._read_failures.extend(errors)

    # --- market data

    @hooked
    def server_status(self) -> ServerStatus:
        self._read()
        return self.status

    @hooked
    def server_time(self) -> datetime:
        self._read()
        return self.clock().replace(microsecond=0)

    @hooked
    def instruments(self) -> list[Instrument]:
        self._read()
        return list(self._listed.values())

    @hooked
    def instrument(self, pair: str) -> Instrument:
        self._read()
        return self._named(pair)

    @hooked
    def ticker(self, pair: str) -> Ticker:
        self._read()
        price = self.prices[self._named(pair).altname]
        return Ticker(
            pair=self._named(pair).altname,
            ask=price,
            bid=price,
            last=price,
            open=price,
            high_24h=price,
            low_24h=price,
            volume_24h=ZERO,
            average_24h=price,
            trades_24h=0,
        )

    @hooked
    def ohlc(self, pair: str, interval_minutes: int, since: datetime | None = None) -> Ohlc:
        self._read()
        candles = self.candles.get((self._named(pair).altname, interval_minutes), [])
        return Ohlc(tuple(candle for candle in candles if since is None or candle.opened_at > since))

    @hooked
    def order_book(self, pair: str, depth: int = 25) -> OrderBook:
        self._read()
        level = Level(self.prices[self._named(pair).altname], Decimal(1))
        return OrderBook(self._named(pair).altname, (level,), (level,))

    # --- account

    @hooked
    def balances(self) -> dict[str, Balance]:
        self._read()
        return {asset: Balance(asset, total, self._held(asset)) for asset, total in sorted(self.totals.items())}

    @hooked
    def open_orders(self, client_order_id: str | None = None) -> list[ExchangeOrder]:
        self._read()
        return self._shown(lambda order: order.status.is_live and client_order_id in (None, order.client_order_id))

    @hooked
    def closed_orders(self, client_order_id: str | None = None, start: datetime | None = None) -> list[ExchangeOrder]:
        self._read()
        return self._shown(
            lambda order: (
                not order.status.is_live
                and client_order_id in (None, order.client_order_id)
                and (start is None or max(filter(None, (order.opened_at, order.closed_at))) > start)
            )
        )

    @hooked
    def orders(self, exchange_order_ids: Sequence[str]) -> dict[str, ExchangeOrder]:
        self._read()
        return {
            order.exchange_order_id: order
            for order in self._shown(lambda order: order.exchange_order_id in exchange_order_ids)
        }

    @hooked
    def trades_of(self, trade_ids: Sequence[str]) -> dict[str, ExchangeTrade]:
        self._read()
        return {trade_id: self._trades[trade_id] for trade_id in trade_ids if trade_id in self._trades}

    @hooked
    def trades_history(self, start: datetime | None = None) -> list[ExchangeTrade]:
        self._read()
        shown = (trade for trade in self._trades.values() if trade.exchange_order_id not in self.hidden)
        return [trade for trade in shown if start is None or trade.executed_at > start]

    @hooked
    def ledger(self, start: datetime | None = None) -> list[LedgerRow]:
        self._read()
        shown = (row for row in self.ledger_rows if row.reference not in self._hidden_trades())
        return [row for row in shown if start is None or row.at > start]

    @hooked
    def submit(self, order: OrderRequest) -> Submission:
        outcome = self.next_submits.popleft() if self.next_submits else None
        if outcome is SubmitFault.NOT_SENT:
            raise NotSent("The exchange could not be reached; nothing was sent.")
        self.submitted.append(order)
        if isinstance(outcome, Rejected):
            return outcome
        if outcome is SubmitFault.LOST_BEFORE:
            raise self._lost(order)
        answer = self._place(order)
        if outcome is SubmitFault.LOST_AFTER:
            raise self._lost(order)
        return answer

    @hooked
    def cancel(
        self,
        *,
        exchange_order_id: str | None = None,
        client_order_id: str | None = None,
        pair: str = "",
        placed_at: datetime | None = None,
    ) -> Cancellation:
        self._read()
        if (exchange_order_id is None) is (client_order_id is None):
            raise ValueError("Give an exchange_order_id or a client_order_id.")
        live = [order for order in self._orders.values() if order.status.is_live]
        found = [
            order
            for order in live
            if (order.exchange_order_id if exchange_order_id else order.client_order_id)
            == (exchange_order_id or client_order_id)
        ]
        for order in found:
            self.end(order.exchange_order_id, reason="User requested")
        return Cancellation(len(found))

    def suspend_key(self, error: PlatformError) -> None:
        self.suspended_for.append(error)

    @hooked
    def key_info(self) -> KeyInfo:
        self._read()
        return self.key

    @hooked
    def trade_volume(self, pair: str) -> FeeRates:
        self._read()
        return FeeRates(taker=self.fee_rate, maker=self.fee_rate, volume_30d=ZERO, currency="ZUSD")

    # --- inside

    def _lost(self, order: OrderRequest) -> OutcomeUnknown:
        # As the adapter with a key that is free at once: it gives the order 5 s of the 15 s that it may have.
        given = order.deadline - timedelta(seconds=10)
        return OutcomeUnknown("No answer came.", client_order_id=order.client_order_id, deadline=given)

    def _read(self) -> None:
        if self._read_failures:
            raise self._read_failures.popleft()


def raising(error: Exception) -> Hook:
    """A hook that raises."""

    def hook(*_: object, **__: object) -> NoReturn:
        raise error

    return hook


def _open_transactions() -> int:
    return int(connection.in_atomic_block) + len(connection.savepoint_ids)
