"""What the bots hold and earned. Paper and live are never added up."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.console.api_client.base import Answer, Api
from apps.console.api_client.lists import given


class Holding(Answer):
    bot_id: UUID
    bot_name: str
    mode: str
    pair: str
    base_asset: str
    quote_asset: str
    volume: Decimal
    average_price: Decimal | None
    last_price: Decimal | None
    last_price_as_of: datetime | None
    value: Decimal | None
    unrealised_pnl: Decimal | None


class Total(Answer):
    mode: str
    quote_asset: str
    bots: int
    trades: int
    realised_pnl: Decimal
    fees: Decimal
    value: Decimal | None
    unrealised_pnl: Decimal | None


class AssetShares(Answer):
    """`total` = `bots_cash` + `bots_coins` + `unallocated`."""

    asset: str
    total: Decimal
    bots_cash: Decimal
    bots_coins: Decimal
    unallocated: Decimal
    dust: Decimal
    drift: Decimal | None


class AccountShares(Answer):
    credential_id: UUID
    label: str
    mode: str
    compared_at: datetime | None
    assets: list[AssetShares]


class Portfolio(Answer):
    trades: int
    last_trade_at: datetime | None
    holdings: list[Holding]
    totals: list[Total]
    accounts: list[AccountShares]


class EquityPoint(Answer):
    at: datetime
    profit: Decimal
    equity: Decimal


class Curve(Answer):
    """The equity of all bots of a mode in one currency; `points` are the oldest first, the last one is of now."""

    quote_asset: str
    points: list[EquityPoint]

    @property
    def rows(self) -> list[tuple[int, str]]:
        """For a chart: seconds, and the equity as text."""
        return [(int(point.at.timestamp()), f"{point.equity:f}") for point in self.points]

    @property
    def last(self) -> EquityPoint | None:
        return self.points[-1] if self.points else None

    @property
    def change(self) -> Decimal | None:
        """Profit less that at the first point."""
        return self.points[-1].profit - self.points[0].profit if self.points else None


class Equity(Answer):
    mode: str
    since: datetime
    until: datetime
    curves: list[Curve]


def equity(api: Api, *, mode: str, since: datetime | None) -> Equity:
    """Without `since` from the first trade on."""
    query = given(mode=mode, since=since.isoformat() if since else None)
    return Equity.model_validate(api.get("trading/equity", query))


def portfolio(api: Api) -> Portfolio:
    return Portfolio.model_validate(api.get("trading/portfolio"))
