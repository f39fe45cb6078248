"""Market session: markets and accounts locked for one transaction, with resting orders settled up to now.

No process settles resting orders in the background: every request that reads or changes them opens a session first.
The result is the same whenever that happens, because the fills follow from the replayed steps alone (see `settlement`).
Lock order: markets by pair, then accounts by id.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import Q

from apps.paper.engine.order_matching import CancelReason
from apps.paper.engine.orders import Fill, OrderType, Side, Status, WorkingOrder
from apps.paper.engine.settlement import settle
from apps.paper.instruments import CATALOGUE
from apps.paper.market.candles import CandleSeries
from apps.paper.market.depth import OrderBook, Taken, order_book_at
from apps.paper.market.listing import listed_markets, start_step
from apps.paper.market.path import STEPS
from apps.paper.market.replay import Replay, ReplayClock
from apps.paper.models import LIVE, Market, Order
from apps.paper.services.account_ledger import AccountLedger

log = structlog.get_logger(__name__)

# Read after the locks are taken: a request that waited for them must not act at an earlier moment.
Clock = Callable[[], datetime]

ORDER_FIELDS = (
    "volume", "limit_price", "queued_at", "filled", "status", "reason", "taker_notional", "maker_notional", "cost",
    "fee", "held", "closed_at", "amend_id",
)  # fmt: skip


@dataclass
class LockedMarket:
    """A market whose row is locked, at one step of its replay."""

    row: Market
    replay: Replay
    step: int
    has_ended: bool

    @property
    def taken(self) -> Taken:
        return Taken(self.row.taken_candle, self.row.taken_asks, self.row.taken_bids)

    def order_book(self) -> OrderBook:
        return order_book_at(self.replay, self.step, self.taken)

    def take(self, fills: Iterable[Fill]) -> None:
        """Records the liquidity that taker fills removed: it is missing from the book for the rest of the candle."""
        candle = self.step // STEPS
        taken = self.taken.within(candle)
        lots = {side: sum(f.order.pair.lots(f.volume) for f in fills if f.order.side is side) for side in Side}
        self.row.taken_candle = candle
        self.row.taken_asks, self.row.taken_bids = taken.asks + lots[Side.BUY], taken.bids + lots[Side.SELL]


@dataclass
class MarketSession:
    """The locked markets by pair, and the ledger of the locked accounts. Everything in it happens at `now`."""

    now: datetime
    markets: dict[str, LockedMarket]
    ledger: AccountLedger

    def save(self) -> None:
        self.ledger.save()
        for market in self.markets.values():
            market.row.save()


def replay_of(row: Market, series: CandleSeries) -> Replay:
    return Replay(series, ReplayClock(row.started_at, row.start_step, row.candle_seconds))


def is_current(row: Market, series: CandleSeries) -> bool:
    """Whether the row's clock was started for this series and at the configured speed."""
    return row.fingerprint == series.fingerprint and row.candle_seconds == settings.MARKET_CANDLE_SECONDS


def open_market_session(*, pairs: Iterable[str], account_id: UUID | None, clock: Clock) -> MarketSession:
    """Locks the markets, settles their resting orders up to now, locks the accounts involved and applies the fills.

    Call it inside a transaction, and call `save` on the session at the end.
    """
    listed = listed_markets()
    rows = _lock_rows(set(pairs) & listed.keys(), clock)
    now = max([clock(), *(replay_of(row, listed[row.pair]).time_of(row.settled_step) for row in rows)])
    markets = {row.pair: _locked(row, listed[row.pair], now) for row in rows}
    settled = [_settle(market, now) for market in markets.values()]
    changed = [pair for settlement in settled for pair in settlement.changed]
    ledger = AccountLedger({order.account_id for order, _ in changed} | ({account_id} if account_id else set()))
    rows_by_id = {order.id: order for order, _ in changed}
    for fill in sorted((fill for settlement in settled for fill in settlement.fills), key=lambda fill: fill.at):
        ledger.record_fill(rows_by_id[fill.order.number], fill)
    for order, working in changed:
        ledger.update(order, working)
    Order.objects.bulk_update(rows_by_id.values(), ORDER_FIELDS)
    for market in markets.values():
        _apply_candle_speed(market, now)
    return MarketSession(now, markets, ledger)


def restart(row: Market, series: CandleSeries, now: datetime) -> None:
    """Restarts the market at its start candle. Resting orders stay open and match from there."""
    row.fingerprint, row.candle_seconds = series.fingerprint, settings.MARKET_CANDLE_SECONDS
    row.started_at, row.start_step = now, start_step(series)
    row.settled_step, row.taken_candle = row.start_step, -1


def _lock_rows(pairs: set[str], clock: Clock) -> list[Market]:
    listed = listed_markets()
    rows = Market.objects.select_for_update(no_key=True).filter(pair__in=pairs).order_by("pair")
    found = list(rows)
    if missing := pairs - {row.pair for row in found}:
        new = [Market(pair=pair) for pair in sorted(missing)]
        for row in new:
            restart(row, listed[row.pair], clock())
        Market.objects.bulk_create(new, ignore_conflicts=True)
        found = list(rows.all())
    for row in found:
        if row.fingerprint != listed[row.pair].fingerprint:
            log.info("market_restarted", pair=row.pair, source=listed[row.pair].source)
            restart(row, listed[row.pair], clock())
    return found


def _locked(row: Market, series: CandleSeries, now: datetime) -> LockedMarket:
    replay = replay_of(row, series)
    return LockedMarket(row, replay, replay.step_at(now), replay.has_ended(now))


def _apply_candle_speed(market: LockedMarket, now: datetime) -> None:
    """Applies a changed MARKET_CANDLE_SECONDS: the market continues at its present step, at the new speed."""
    if not market.has_ended and market.row.candle_seconds != settings.MARKET_CANDLE_SECONDS:
        market.row.started_at, market.row.start_step = now, market.step
        market.row.candle_seconds = settings.MARKET_CANDLE_SECONDS
        market.replay = replay_of(market.row, market.replay.series)


@dataclass
class _Settlement:
    changed: list[tuple[Order, WorkingOrder]]
    fills: list[Fill]


def _settle(market: LockedMarket, now: datetime) -> _Settlement:
    after = market.row.settled_step
    candidates = [(order, working_order(order)) for order in _candidates(market, after, now)]
    fills = settle(
        [working for _, working in candidates], market.replay, after_step=after, through_step=market.step, now=now
    )
    market.row.settled_step = max(after, market.step)
    filled = {fill.order.number for fill in fills}
    changed = [pair for pair in candidates if pair[0].id in filled or not pair[1].status.is_live]
    return _Settlement(changed, fills)


def _candidates(market: LockedMarket, after: int, now: datetime) -> list[Order]:
    """The live orders that can have filled, expired or been canceled since step `after`. Others are not read."""
    happened = Q(expires_at__lte=now) | Q(account__cancel_all_at__lte=now)
    if market.step > after:
        series, pair = market.replay.series, market.replay.series.pair
        candles = slice((after + 1) // STEPS, market.step // STEPS + 1)
        low, high = pair.price(min(series.lows[candles])), pair.price(max(series.highs[candles]))
        happened |= Q(side=Side.BUY.value, limit_price__gt=low) | Q(side=Side.SELL.value, limit_price__lt=high)
    live = Order.objects.filter(happened, pair=market.row.pair, status__in=LIVE)
    return list(live.select_related("account"))


def working_order(row: Order) -> WorkingOrder:
    """The engine's view of an order row. Needs `account` loaded: its dead-man's switch may end the order."""
    ends: list[tuple[datetime, Status, str | None]] = []
    if row.expires_at is not None:
        ends.append((row.expires_at, Status.EXPIRED, None))
    if row.account.cancel_all_at is not None and row.opened_at <= row.account.cancel_all_at:
        ends.append((row.account.cancel_all_at, Status.CANCELED, CancelReason.DEAD_MAN.value))
    first: tuple[datetime | None, Status, str | None] = (None, Status.EXPIRED, None)
    if ends:
        first = min(ends, key=lambda end: end[0])
    return WorkingOrder(
        pair=CATALOGUE[row.pair],
        side=Side(row.side),
        kind=OrderType(row.kind),
        volume=row.volume,
        limit=row.limit_price,
        taker_rate=row.taker_rate,
        maker_rate=row.maker_rate,
        account_id=row.account_id,
        queued_at=row.queued_at,
        number=row.id,
        ends_at=first[0],
        ends_as=first[1],
        ends_because=first[2],
        filled=row.filled,
        taker_notional=row.taker_notional,
        maker_notional=row.maker_notional,
        status=Status(row.status),
        reason=row.reason,
        closed_at=row.closed_at,
    )
