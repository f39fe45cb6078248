"""An account on an exchange in memory: its orders, trades and balances, and how the market fills them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from apps.core.money import quantize
from apps.core.terms import Side
from apps.exchange.errors import OutcomeUnknown, UnknownPair
from apps.exchange.instrument import Instrument
from apps.exchange.types import (
    ZERO,
    Accepted,
    ExchangeOrder,
    ExchangeTrade,
    LedgerRow,
    OrderRequest,
    OrderStatus,
    OrderType,
    Rejected,
    RejectionKind,
    Submission,
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


class FakeAccount:
    """Fills market orders and crossing limit orders at `price`, whole and at once; other limit orders rest.

    `fee_rate` is a fraction of the cost; `totals` are balances by asset code, holds included.
    """

    def __init__(
        self,
        *,
        price: Decimal,
        balances: dict[str, Decimal] | None,
        fee_rate: Decimal,
        now: datetime,
        listed: Sequence[Instrument],
    ) -> None:
        self.now = now
        self.fee_rate = fee_rate
        self.totals = dict(balances if balances is not None else {"ZUSD": Decimal("10000")})
        self.prices = {instrument.altname: price for instrument in listed}
        self.hidden: set[str] = set()
        self._listed = {instrument.altname: instrument for instrument in listed}
        self._orders: dict[str, ExchangeOrder] = {}
        self._trades: dict[str, ExchangeTrade] = {}
        self.ledger_rows: list[LedgerRow] = []

    def set_price(self, price: Decimal, pair: str = "XBTUSD") -> None:
        """Moves the market; resting orders that it reaches are filled at their limit."""
        self.prices[pair] = price
        for order in list(self._orders.values()):
            if order.pair == pair and order.status.is_live and self._crosses(order.side, order.limit_price, price):
                self.fill(order.exchange_order_id)

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

    def show(self, order: ExchangeOrder) -> None:
        """The account has this order, whoever placed it."""
        self._orders[order.exchange_order_id] = order

    def hide(self, exchange_order_id: str) -> None:
        """The order is not shown in any answer until `reveal`."""
        self.hidden.add(exchange_order_id)

    def reveal(self, exchange_order_id: str) -> None:
        self.hidden.discard(exchange_order_id)

    @property
    def placed(self) -> list[ExchangeOrder]:
        """Every order that the exchange has, hidden ones too, oldest first."""
        return list(self._orders.values())

    def rewrite(self, exchange_order_id: str, **facts: object) -> None:
        """Changes what the exchange says of an order: what a real one should never do."""
        self._orders[exchange_order_id] = replace(self._orders[exchange_order_id], **facts)  # type: ignore[arg-type]

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
        self.move(instrument.base, sign * volume, kind="trade", reference=trade.trade_id)
        self.move(instrument.quote, -sign * cost, fee=fee, kind="trade", reference=trade.trade_id)
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

    def move(
        self, asset: str, amount: Decimal, *, fee: Decimal = ZERO, kind: str = "deposit", reference: str = ""
    ) -> None:
        """Changes a balance, and writes it into the exchange's ledger."""
        self.totals[asset] = self.totals.get(asset, ZERO) + amount - fee
        entry_id = f"LFAKE0-{len(self.ledger_rows):05d}-000000"
        self.ledger_rows.append(
            LedgerRow(
                entry_id=entry_id,
                reference=reference or entry_id,
                kind=kind,
                asset=asset,
                amount=amount,
                fee=fee,
                at=self._tick(),
            )
        )

    def _hidden_trades(self) -> set[str]:
        return {trade.trade_id for trade in self._trades.values() if trade.exchange_order_id in self.hidden}
