"""A pair and the rules that orders on it must meet. Source: Kraken's AssetPairs answer."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from apps.core.money import plain, round_down, round_up
from apps.exchange.errors import OrderNotPlaceable
from apps.exchange.types import OrderRequest, OrderType

ONLINE = "online"
# limit_only takes limit orders, post_only those that cannot take; the other states take no new order.
_TAKES_LIMITS = frozenset({ONLINE, "limit_only", "post_only"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """`altname` (XBTUSD) is the pair's name on this platform; `code` (XXBTZUSD), `symbol` (BTC/USD) mean the same.

    `base` and `quote` are asset codes as balances use them. `order_minimum` in base, `cost_minimum` in quote.
    """

    altname: str
    code: str
    symbol: str
    base: str
    quote: str
    price_decimals: int
    volume_decimals: int
    cost_decimals: int
    tick_size: Decimal
    order_minimum: Decimal
    cost_minimum: Decimal
    status: str = ONLINE

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.altname, self.code, self.symbol))

    def floor_volume(self, volume: Decimal) -> Decimal:
        """The largest volume on the lot grid that is not above `volume`."""
        return round_down(volume, self.volume_decimals)

    def smallest_order(self, price: Decimal) -> Decimal:
        """The smallest volume that meets both minimums in an order at `price`."""
        if price <= 0:
            return self.order_minimum
        return max(self.order_minimum, round_up(self.cost_minimum / price, self.volume_decimals))

    def round_price(self, price: Decimal, *, rounding: str = ROUND_HALF_EVEN) -> Decimal:
        """The price on the tick grid."""
        return (price / self.tick_size).quantize(Decimal(1), rounding=rounding) * self.tick_size

    def floor_price(self, price: Decimal) -> Decimal:
        return self.round_price(price, rounding=ROUND_FLOOR)

    def ceil_price(self, price: Decimal) -> Decimal:
        return self.round_price(price, rounding=ROUND_CEILING)

    def check(self, order: OrderRequest, *, reference_price: Decimal | None = None) -> None:
        """Refuses what the exchange would refuse. `reference_price` stands for a market order's price.

        Raises OrderNotPlaceable, whose `rule` is one of pair, status, volume_precision, order_minimum,
        price_precision, tick_size, cost_minimum.
        """
        if order.pair not in self.names:
            raise OrderNotPlaceable(f"The order is for {order.pair}, not for {self.altname}.", rule="pair")
        self._check_status(order)
        self._check_volume(order.volume)
        if order.price is not None:
            self._check_price(order.price)
        price = order.price if order.price is not None else reference_price
        if price is not None and price * order.volume < self.cost_minimum:
            raise OrderNotPlaceable(
                f"An order on {self.altname} must be worth at least {plain(self.cost_minimum)} {self.quote}.",
                rule="cost_minimum",
            )

    def _check_status(self, order: OrderRequest) -> None:
        takes = order.order_type is OrderType.LIMIT and self.status in _TAKES_LIMITS
        if self.status == "post_only" and not order.post_only:
            takes = False
        if self.status != ONLINE and not takes:
            raise OrderNotPlaceable(f"{self.altname} does not take this order now: it is {self.status}.", rule="status")

    def _check_volume(self, volume: Decimal) -> None:
        if volume <= 0 or volume != self.floor_volume(volume):
            raise OrderNotPlaceable(
                f"A volume on {self.altname} is positive and has at most {self.volume_decimals} decimals.",
                rule="volume_precision",
            )
        if volume < self.order_minimum:
            raise OrderNotPlaceable(
                f"An order on {self.altname} needs a volume of at least {plain(self.order_minimum)}.",
                rule="order_minimum",
            )

    def _check_price(self, price: Decimal) -> None:
        if price <= 0 or price != round_down(price, self.price_decimals):
            raise OrderNotPlaceable(
                f"A price on {self.altname} is positive and has at most {self.price_decimals} decimals.",
                rule="price_precision",
            )
        if price % self.tick_size:
            raise OrderNotPlaceable(
                f"A price on {self.altname} is a multiple of {plain(self.tick_size)}.", rule="tick_size"
            )
