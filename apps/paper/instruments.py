"""The instruments that the exchange can list, with Kraken's figures.

Source: Kraken's public AssetPairs and Assets answers as of September 2026. Margin is not supported, so the leverage
lists are empty, as they are for Kraken's pairs without margin.
"""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Asset:
    """A currency. `code` is the name in balances (XXBT), `altname` the short name (XBT)."""

    code: str
    altname: str
    decimals: int
    display_decimals: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A currency pair: prices in `quote` per `base`, in multiples of `tick_size`; volumes in base, `lot_decimals`."""

    code: str
    altname: str
    symbol: str
    wsname: str
    base: Asset
    quote: Asset
    pair_decimals: int
    cost_decimals: int
    lot_decimals: int
    tick_size: Decimal
    ordermin: Decimal
    costmin: Decimal

    def __post_init__(self) -> None:
        if self.tick_size != Decimal(1).scaleb(-self.pair_decimals):
            raise ValueError(f"{self.code}: the engine counts prices in ticks of the last decimal.")

    def price(self, ticks: int) -> Decimal:
        return Decimal(ticks).scaleb(-self.pair_decimals)

    def ticks(self, price: Decimal) -> int:
        """The price in ticks; a price between two ticks is rounded down."""
        return int(price.scaleb(self.pair_decimals))

    def volume(self, lots: int) -> Decimal:
        return Decimal(lots).scaleb(-self.lot_decimals)

    def lots(self, volume: Decimal) -> int:
        return int(volume.scaleb(self.lot_decimals))

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the REST API accepts. `wsname` (XBT/USD) is not among them."""
        return (self.code, self.altname, self.symbol)


USD = Asset("ZUSD", "USD", decimals=4, display_decimals=2)
BITCOIN = Asset("XXBT", "XBT", decimals=10, display_decimals=5)
ETHER = Asset("XETH", "ETH", decimals=10, display_decimals=5)
SOLANA = Asset("SOL", "SOL", decimals=10, display_decimals=5)
DOGECOIN = Asset("XXDG", "XDG", decimals=8, display_decimals=2)

ASSETS: dict[str, Asset] = {asset.code: asset for asset in (BITCOIN, ETHER, SOLANA, DOGECOIN, USD)}

CATALOGUE: dict[str, Pair] = {
    pair.altname: pair
    for pair in (
        Pair(
            "XXBTZUSD", "XBTUSD", "BTC/USD", "XBT/USD", BITCOIN, USD,
            pair_decimals=1, cost_decimals=5, lot_decimals=8,
            tick_size=Decimal("0.1"), ordermin=Decimal("0.00005"), costmin=Decimal("0.5"),
        ),
        Pair(
            "XETHZUSD", "ETHUSD", "ETH/USD", "ETH/USD", ETHER, USD,
            pair_decimals=2, cost_decimals=5, lot_decimals=8,
            tick_size=Decimal("0.01"), ordermin=Decimal("0.001"), costmin=Decimal("0.5"),
        ),
        Pair(
            "SOLUSD", "SOLUSD", "SOL/USD", "SOL/USD", SOLANA, USD,
            pair_decimals=2, cost_decimals=5, lot_decimals=8,
            tick_size=Decimal("0.01"), ordermin=Decimal("0.06"), costmin=Decimal("0.5"),
        ),
        Pair(
            "XDGUSD", "XDGUSD", "DOGE/USD", "XDG/USD", DOGECOIN, USD,
            pair_decimals=7, cost_decimals=9, lot_decimals=8,
            tick_size=Decimal("0.0000001"), ordermin=Decimal("50"), costmin=Decimal("0.5"),
        ),
    )
}  # fmt: skip


def asset_named(name: str) -> Asset | None:
    """The asset with this code or altname. Kraken's newer names BTC and DOGE are accepted too."""
    modern = {"BTC": "XXBT", "DOGE": "XXDG"}
    for asset in ASSETS.values():
        if name in (asset.code, asset.altname) or modern.get(name) == asset.code:
            return asset
    return None
