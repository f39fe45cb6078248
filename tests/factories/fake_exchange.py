"""An exchange in memory, for tests of what trades: deterministic, and it fails in every way it is told to."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from apps.core.money import quantize
from apps.core.terms import Mode, Side
from apps.exchange.errors import NotSent, OutcomeUnknown, UnknownPair
from apps.exchange.instrument import Instrument
from apps.exchange.types import (
    ZERO,
    Accepted,
    Balance,
    Cancellation,
    Candle,
    ExchangeOrder,
    ExchangeTrade,
    FeeRates,
    KeyInfo,
    Level,
    Ohlc,
    OrderBook,
    OrderRequest,
    OrderStatus,
    OrderType,
    Rejected,
    RejectionKind,
    ServerStatus,
    Submission,
    Ticker,
    TimeInForce,
)

XBTUSD = Instrument(
    altname="XBTUSD",
    code="XXBTZUSD",
    symbol="BTC/USD",
    base="XXBT",
    quote="ZUSD",
    price_decimals=1,
    volume_decimals=8,
    cost_decimals=5,
    tick_size=Decimal("0.1"),
    order_minimum=Decimal("0.00005"),
    cost_minimum=Decimal("0.5"),
)
ALL_PERMISSIONS = frozenset(
    {"query-funds", "query-open-trades", "query-closed-trades", "query-ledger", "modify-trades", "close-trades"}
)
INSUFFICIENT_FUNDS = Rejected(
    code="insufficient_funds",
    message="The balance does not cover the order.",
    kind=RejectionKind.FINAL,
    exchange_error="EOrder:Insufficient funds",
)


class SubmitFault(StrEnum):
    """What goes wrong with a placement."""

    LOST_BEFORE = "lost_before"  # OutcomeUnknown, and the order was not placed
    LOST_AFTER = "lost_after"  # OutcomeUnknown, and the order was placed
    NOT_SENT = "not_sent"


class FakeExchange:
    """Fills market orders and crossing limit orders at `price`, whole and at once; other limit orders rest.

    `next_submits` takes faults and refusals for the coming placements, one each; `fail_reads` an error for coming
    reads. `submitted` has every request that was sent, in order.
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
        self.mode: Mode = mode
        self.now = now
        self.fee_rate = fee_rate
        self.totals = dict(balances if balances is not None else {"ZUSD": Decimal("10000")})
        self.prices = {instrument.altname: price for instrument in listed}
        self.candles: dict[tuple[str, int], list[Candle]] = {}
        self.status = ServerStatus("online", now, is_synthetic=True)
        self.key = KeyInfo(name="fake", permissions=ALL_PERMISSIONS)
        self.next_submits: deque[SubmitFault | Rejected] = deque()
        self.submitted: list[OrderRequest] = []
        self.hidden: set[str] = set()
        self._listed = {instrument.altname: instrument for instrument in listed}
        self._orders: dict[str, ExchangeOrder] = {}
        self._trades: dict[str, ExchangeTrade] = {}
        self._read_failures: deque[Exception] = deque()

    # --- steering

    def set_price(self, price: Decimal, pair: str = "XBTUSD") -> None:
        """Moves the market; resting orders that it reaches are filled at their limit."""
        self.prices[pair] = price
        for order in list(self._orders.values()):
            if order.pair == pair and order.status.is_live and self._crosses(order.side, order.limit_price, price):
                self.fill(order.exchange_order_id)

    def set_candles(self, candles: Sequence[Candle], pair: str = "XBTUSD", interval_minutes: int = 60) -> None:
        """The closed candles; the market's price becomes the last close."""
        self.candles[pair, interval_minutes] = list(candles)
        self.set_price(candles[-1].close, pair)

    def fail_reads(self, *errors: Exception) -> None:
        """The coming calls, other than placements, raise these, one each."""
        self._read_failures.extend(errors)

    def fill(
        self, exchange_order_id: str, volume: Decimal | None = None, price: Decimal | None = None
    ) -> ExchangeTrade:
        """Executes an order, or a part of it, at its limit or the given price."""
        order = self._orders[exchange_order_id]
        volume = volume if volume is not None else order.volume - order.executed_volume
        price = price or order.limit_price or self.prices[order.pair]
        return self._execute(order, volume, price)

    def end(self, exchange_order_id: str, status: OrderStatus = OrderStatus.CANCELED, reason: str = "") -> None:
        """Ends a live order without the caller having asked."""
        self._orders[exchange_order_id] = replace(
            self._orders[exchange_order_id], status=status, reason=reason, closed_at=self._tick()
        )

    def hide(self, exchange_order_id: str) -> None:
        """The order is not shown in any answer until `reveal`."""
        self.hidden.add(exchange_order_id)

    def reveal(self, exchange_order_id: str) -> None:
        self.hidden.discard(exchange_order_id)

    @property
    def placed(self) -> list[ExchangeOrder]:
        """Every order that the exchange has, hidden ones too, oldest first."""
        return list(self._orders.values())

    # --- market data

    def server_status(self) -> ServerStatus:
        self._read()
        return self.status

    def instruments(self) -> list[Instrument]:
        self._read()
        return list(self._listed.values())

    def instrument(self, pair: str) -> Instrument:
        self._read()
        return self._named(pair)

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

    def ohlc(self, pair: str, interval_minutes: int, since: datetime | None = None) -> Ohlc:
        self._read()
        candles = self.candles.get((self._named(pair).altname, interval_minutes), [])
        return Ohlc(tuple(candle for candle in candles if since is None or candle.opened_at > since))

    def order_book(self, pair: str, depth: int = 25) -> OrderBook:
        self._read()
        level = Level(self.prices[self._named(pair).altname], Decimal(1))
        return OrderBook(self._named(pair).altname, (level,), (level,))

    # --- account

    def balances(self) -> dict[str, Balance]:
        self._read()
        return {asset: Balance(asset, total, self._held(asset)) for asset, total in sorted(self.totals.items())}

    def open_orders(self, client_order_id: str | None = None) -> list[ExchangeOrder]:
        self._read()
        return self._shown(lambda order: order.status.is_live and client_order_id in (None, order.client_order_id))

    def closed_orders(self, client_order_id: str | None = None, start: datetime | None = None) -> list[ExchangeOrder]:
        self._read()
        return self._shown(
            lambda order: (
                not order.status.is_live
                and client_order_id in (None, order.client_order_id)
                and (start is None or max(filter(None, (order.opened_at, order.closed_at))) > start)
            )
        )

    def orders(self, exchange_order_ids: Sequence[str]) -> dict[str, ExchangeOrder]:
        self._read()
        return {
            order.exchange_order_id: order
            for order in self._shown(lambda order: order.exchange_order_id in exchange_order_ids)
        }

    def trades_of(self, trade_ids: Sequence[str]) -> dict[str, ExchangeTrade]:
        self._read()
        return {trade_id: self._trades[trade_id] for trade_id in trade_ids if trade_id in self._trades}

    def trades_history(self, start: datetime | None = None) -> list[ExchangeTrade]:
        self._read()
        shown = (trade for trade in self._trades.values() if trade.exchange_order_id not in self.hidden)
        return [trade for trade in shown if start is None or trade.executed_at > start]

    def submit(self, order: OrderRequest) -> Submission:
        outcome = self.next_submits.popleft() if self.next_submits else None
        if outcome is SubmitFault.NOT_SENT:
            raise NotSent("The exchange could not be reached; nothing was sent.")
        self.submitted.append(order)
        if isinstance(outcome, Rejected):
            return outcome
        if outcome is SubmitFault.LOST_BEFORE:
            raise OutcomeUnknown("No answer came.", client_order_id=order.client_order_id)
        answer = self._place(order)
        if outcome is SubmitFault.LOST_AFTER:
            raise OutcomeUnknown("No answer came.", client_order_id=order.client_order_id)
        return answer

    def cancel(self, *, exchange_order_id: str | None = None, client_order_id: str | None = None) -> Cancellation:
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

    def key_info(self) -> KeyInfo:
        self._read()
        return self.key

    def trade_volume(self, pair: str) -> FeeRates:
        self._read()
        return FeeRates(taker=self.fee_rate, maker=self.fee_rate, volume_30d=ZERO, currency="ZUSD")

    # --- inside

    def _read(self) -> None:
        if self._read_failures:
            raise self._read_failures.popleft()

    def _named(self, pair: str) -> Instrument:
        for instrument in self._listed.values():
            if pair in instrument.names:
                return instrument
        raise UnknownPair(f"The exchange does not list {pair}.", pair=pair)

    def _shown(self, wanted: Callable[[ExchangeOrder], bool]) -> list[ExchangeOrder]:
        return [
            order for order in self._orders.values() if order.exchange_order_id not in self.hidden and wanted(order)
        ]

    def _tick(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def _held(self, asset: str) -> Decimal:
        held = ZERO
        for order in self._orders.values():
            if order.status.is_live and order.limit_price is not None:
                instrument, left = self._listed[order.pair], order.volume - order.executed_volume
                if order.side is Side.BUY and instrument.quote == asset:
                    held += left * order.limit_price * (1 + self.fee_rate)
                elif order.side is Side.SELL and instrument.base == asset:
                    held += left
        return held

    @staticmethod
    def _crosses(side: Side, limit: Decimal | None, price: Decimal) -> bool:
        return limit is None or (limit >= price if side is Side.BUY else limit <= price)

    def _place(self, request: OrderRequest) -> Submission:
        instrument = self._named(request.pair)
        market = self.prices[instrument.altname]
        if any(
            order.client_order_id == request.client_order_id for order in self._orders.values() if order.status.is_live
        ):
            raise OutcomeUnknown("EOrder:cl_ord_id already in use", client_order_id=request.client_order_id)
        if not self._is_covered(instrument, request, market):
            return INSUFFICIENT_FUNDS
        exchange_order_id = f"OFAKE0-{len(self._orders):05d}-000000"
        order = ExchangeOrder(
            exchange_order_id=exchange_order_id,
            status=OrderStatus.OPEN,
            pair=instrument.altname,
            side=request.side,
            order_type=request.order_type.value,
            volume=request.volume,
            executed_volume=ZERO,
            cost=ZERO,
            fee=ZERO,
            limit_price=request.price,
            client_order_id=request.client_order_id,
            opened_at=self._tick(),
        )
        self._orders[exchange_order_id] = order
        crosses = self._crosses(request.side, request.price, market)
        if crosses and request.post_only:
            self.end(exchange_order_id, reason="Post only order")
        elif crosses:
            self._execute(order, request.volume, market)
        elif request.time_in_force is not TimeInForce.GTC:
            self.end(exchange_order_id, reason=str(request.time_in_force))
        return Accepted(
            exchange_order_id, f"{request.side} {request.volume} {instrument.altname} @ {request.order_type}"
        )

    def _is_covered(self, instrument: Instrument, request: OrderRequest, market: Decimal) -> bool:
        asset = instrument.quote if request.side is Side.BUY else instrument.base
        price = market if request.order_type is OrderType.MARKET else request.price or market
        needed = request.volume * price * (1 + self.fee_rate) if request.side is Side.BUY else request.volume
        return needed <= self.totals.get(asset, ZERO) - self._held(asset)

    def _execute(self, order: ExchangeOrder, volume: Decimal, price: Decimal) -> ExchangeTrade:
        instrument = self._listed[order.pair]
        cost = quantize(volume * price, instrument.cost_decimals)
        fee = quantize(cost * self.fee_rate, instrument.cost_decimals)
        trade = ExchangeTrade(
            trade_id=f"TFAKE0-{len(self._trades):05d}-000000",
            exchange_order_id=order.exchange_order_id,
            pair=order.pair,
            side=order.side,
            price=price,
            volume=volume,
            cost=cost,
            fee=fee,
            executed_at=self._tick(),
            is_maker=order.executed_volume > 0,
        )
        self._trades[trade.trade_id] = trade
        sign = 1 if order.side is Side.BUY else -1
        self._move(instrument.base, sign * volume)
        self._move(instrument.quote, -sign * cost - fee)
        executed, total = order.executed_volume + volume, order.cost + cost
        is_done = executed >= order.volume
        self._orders[order.exchange_order_id] = replace(
            order,
            status=OrderStatus.CLOSED if is_done else OrderStatus.OPEN,
            executed_volume=executed,
            cost=total,
            fee=order.fee + fee,
            average_price=total / executed,
            closed_at=trade.executed_at if is_done else None,
            trade_ids=(*order.trade_ids, trade.trade_id),
        )
        return trade

    def _move(self, asset: str, amount: Decimal) -> None:
        self.totals[asset] = self.totals.get(asset, ZERO) + amount
