"""Equity by time, of a bot and of all bots of a user in one mode.

It is computed from the fills, which the read model keeps with the position after each, and from prices: closes of the
market's candles where their time is the clock's, and what was paid in fills. The paper exchange replays its candles at
a pace of their own, so that the price at a time of day is known there from fills, and now. Nothing is sampled, so there
is no gap where the platform stood still.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from apps.bots.adapters import closes_by_clock, last_price
from apps.bots.equity_grid import EquityGrid, equity_grid
from apps.bots.models import Bot, BotStatus, PositionRelease
from apps.bots.position_pnl import ZERO, PositionPnl, exactly
from apps.bots.selectors.bots import bot_get
from apps.bots.selectors.performance import quote_asset_of
from apps.core.terms import Mode

# Markets whose candles are asked for, for one answer.
MOST_MARKETS = 10

Market = tuple[Mode, str]
Price = tuple[datetime, Decimal]

_LAST_FILLS = """
SELECT b.bot_id, g.number, t.seq, t.executed_at, t.price, t.position_volume, t.position_cost,
       COALESCE(
         t.realised_total,
         (SELECT sum(realised_pnl) FROM bot_trade AS upto WHERE upto.bot_id = t.bot_id AND upto.seq <= t.seq)
       )
  FROM unnest(%(bots)s::uuid[]) AS b (bot_id)
 CROSS JOIN unnest(%(times)s::timestamptz[]) WITH ORDINALITY AS g (at, number)
 CROSS JOIN LATERAL (
       SELECT * FROM bot_trade AS each
        WHERE each.bot_id = b.bot_id AND each.executed_at <= g.at ORDER BY executed_at DESC, seq DESC LIMIT 1
       ) AS t
"""


@dataclass(frozen=True)
class EquityPoint:
    """Amounts in the quote asset. `equity` is `profit` with the budgets as they are today."""

    at: datetime
    profit: Decimal
    equity: Decimal


@dataclass(frozen=True)
class EquityCurve:
    """`quote_budget` is that of the bots that there are; `bots` counts those that traded."""

    quote_asset: str
    quote_budget: Decimal
    bots: int
    points: list[EquityPoint]


@dataclass(frozen=True)
class Equity:
    """One curve for each quote asset. `bot` where it is that bot's alone."""

    mode: Mode
    grid: EquityGrid
    curves: list[EquityCurve]
    bot: Bot | None = None

    @property
    def curve(self) -> EquityCurve:
        """The only one, of one bot."""
        [curve] = self.curves
        return curve


@dataclass(frozen=True)
class _Held:
    """A bot after its last fill up to a time."""

    priced_at: datetime
    price: Decimal
    pnl: PositionPnl


def equity_of_bot(
    *, bot_id: UUID, user_id: UUID, since: datetime | None, until: datetime | None, points: int, now: datetime
) -> Equity:
    """From the bot's first fill on, where `since` is not given. May call the exchange. Raises BotNotFound."""
    bot = bot_get(bot_id=bot_id, user_id=user_id)
    return _equity([bot], Mode(bot.mode), since=since, until=until, points=points, now=now, bot=bot)


def equity_of_account(
    *, user_id: UUID, mode: Mode, since: datetime | None, until: datetime | None, points: int, now: datetime
) -> Equity:
    """Of all bots of the mode, those that were deleted too: their profit is still the user's. May call the exchange."""
    bots = list(Bot.objects.filter(user_id=user_id, mode=mode).order_by("id"))
    return _equity(bots, mode, since=since, until=until, points=points, now=now)


def _equity(
    bots: Sequence[Bot],
    mode: Mode,
    *,
    since: datetime | None,
    until: datetime | None,
    points: int,
    now: datetime,
    bot: Bot | None = None,
) -> Equity:
    until = min(until or now, now)
    traded = {status.bot_id: status for status in BotStatus.objects.filter(bot_id__in=[each.id for each in bots])}
    first = since or _first_fill_at([bot_id for bot_id, status in traded.items() if status.trades]) or until
    grid = equity_grid(since=min(first, until), until=until, points=points)
    held = _held_at(grid.times, [bot_id for bot_id, status in traded.items() if status.trades])
    prices = _Prices(bots, held, grid, now=now)
    by_asset: dict[str, list[Bot]] = defaultdict(list)
    for each in bots:
        by_asset[quote_asset_of(each, traded.get(each.id))].append(each)
    with exactly():
        curves = [_curve(asset, members, held, prices, grid) for asset, members in sorted(by_asset.items())]
    return Equity(mode, grid, curves, bot)


def _curve(
    asset: str, bots: Sequence[Bot], held: dict[UUID, dict[int, _Held]], prices: "_Prices", grid: EquityGrid
) -> EquityCurve:
    budget = sum((bot.quote_budget for bot in bots if bot.deleted_at is None), ZERO)
    points = []
    for number, at in enumerate(grid.times, start=1):
        profit = ZERO
        for bot in bots:
            state = held.get(bot.id, {}).get(number)
            if state is not None:
                value = state.pnl.value_at(prices.at(number, bot, state)) if state.pnl.position_volume else ZERO
                profit += state.pnl.realised_pnl + value - state.pnl.position_cost
        points.append(EquityPoint(at, profit, budget + profit))
    return EquityCurve(asset, budget, sum(bot.id in held for bot in bots), points)


def _first_fill_at(bot_ids: Sequence[UUID]) -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(first.at) FROM unnest(%s::uuid[]) AS b (bot_id) CROSS JOIN LATERAL"
            " (SELECT min(executed_at) AS at FROM bot_trade WHERE bot_trade.bot_id = b.bot_id) AS first",
            [list(bot_ids)],
        )
        at: datetime | None = cursor.fetchone()[0]
    return at


def _held_at(times: Sequence[datetime], bot_ids: Sequence[UUID]) -> dict[UUID, dict[int, _Held]]:
    """By bot and by number of the time, the first being 1. One statement, one index lookup for each of them."""
    releases: dict[UUID, list[PositionRelease]] = defaultdict(list)
    for release in PositionRelease.objects.filter(bot_id__in=bot_ids).order_by("seq"):
        releases[release.bot_id].append(release)
    held: dict[UUID, dict[int, _Held]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(_LAST_FILLS, {"bots": list(bot_ids), "times": list(times)})
        for bot_id, number, seq, executed_at, price, volume, cost, realised in cursor.fetchall():
            pnl = PositionPnl(position_volume=volume, position_cost=cost, realised_pnl=realised)
            for release in releases[bot_id]:
                if release.seq > seq and release.at <= times[number - 1]:
                    pnl = pnl.without(release.volume)
            held[bot_id][number] = _Held(executed_at, price, pnl)
    return held


class _Prices:
    """What a unit was worth at each time of the grid, by market."""

    def __init__(
        self, bots: Iterable[Bot], held: dict[UUID, dict[int, _Held]], grid: EquityGrid, *, now: datetime
    ) -> None:
        self._grid = grid
        self._known: dict[Market, tuple[list[datetime], list[Decimal]]] = {}
        found: dict[Market, dict[datetime, Decimal]] = defaultdict(dict)
        for bot in bots:
            states = held.get(bot.id, {}).values()
            if any(state.pnl.position_volume for state in states):
                market = Mode(bot.mode), bot.pair
                found[market] |= {state.priced_at: state.price for state in states}
        for number, (market, fills) in enumerate(found.items()):
            known = dict(self._asked(market, now)) if number < MOST_MARKETS else {}
            known |= fills
            times = sorted(known)
            self._known[market] = times, [known[at] for at in times]

    def at(self, number: int, bot: Bot, state: _Held) -> Decimal:
        """The newest price up to that time, of whatever source."""
        times, prices = self._known[Mode(bot.mode), bot.pair]
        place = bisect_right(times, self._grid.times[number - 1])
        return prices[place - 1] if place else state.price

    def _asked(self, market: Market, now: datetime) -> Iterator[Price]:
        mode, pair = market
        minutes = int(self._grid.resolution.total_seconds()) // 60
        yield from closes_by_clock(pair=pair, interval_minutes=minutes, mode=mode, now=now)
        if self._grid.until >= now and (last := last_price(pair=pair, mode=mode, now=now)) is not None:
            yield self._grid.until, last.price
