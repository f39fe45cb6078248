"""Changes of the read models by a batch of events, written with a constant number of statements."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Q

from apps.bots.models import AccountTrade, BotState, BotStatus, BotTrade, PositionRelease, RunEvent
from apps.bots.position_pnl import Fill, PositionPnl, exactly
from apps.bots.services.order_changes import OrderChanges
from apps.core.terms import Side
from apps.events.store.wake_up import STREAM, wake_after_commit
from apps.messages.bots import BotError
from apps.messages.trading import BotTradeSkipped

_PNL_FIELDS = ("trades", "position_volume", "position_cost", "quote_flow", "realised_pnl", "fees", "released_cost")
# What a trade has from those before it.
_FOLDED_FIELDS = ["realised_pnl", "realised_total", "position_volume", "position_cost"]
_STATUS_FIELDS = [each.attname for each in BotStatus._meta.concrete_fields if not each.primary_key]

# What changes a bot's position.
Move = BotTrade | PositionRelease

# Ordered by id, so that two consumers that change the same users do not deadlock.
_USERS = """
INSERT INTO user_trading AS kept (user_id, registered_at, trades, last_trade_at)
SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::int[], %s::timestamptz[]) AS change (user_id) ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET
    registered_at = coalesce(excluded.registered_at, kept.registered_at),
    trades = kept.trades + excluded.trades,
    last_trade_at = greatest(kept.last_trade_at, excluded.last_trade_at)
"""

# One index lookup per bot: the run events of earlier runs are not read.
_LATEST_STARTS = """
SELECT latest.* FROM unnest(%s::uuid[]) AS wanted (bot_id) CROSS JOIN LATERAL (
    SELECT * FROM bot_run_news AS each WHERE each.bot_id = wanted.bot_id AND each.state = %s ORDER BY seq DESC LIMIT 1
) AS latest
"""


@dataclass
class BotChanges:
    """Changes of one bot. `error` and `skip` are the newest of their kind: (seq, message)."""

    user_id: UUID
    last_seq: int = 0
    error: tuple[int, BotError] | None = None
    skip: tuple[int, BotTradeSkipped] | None = None
    run_events: list[RunEvent] = field(default_factory=list)
    trades: list[BotTrade] = field(default_factory=list)
    releases: list[PositionRelease] = field(default_factory=list)
    assets: tuple[str, str] | None = None


@dataclass
class UserChanges:
    registered_at: datetime | None = None
    trades: int = 0
    last_trade_at: datetime | None = None


@dataclass
class ReadModelChanges:
    """Collects the changes of a batch event by event; `write` saves them."""

    account_trades: list[AccountTrade] = field(default_factory=list)
    orders: OrderChanges = field(default_factory=OrderChanges)
    _bots: dict[UUID, BotChanges] = field(default_factory=dict)
    _users: dict[UUID, UserChanges] = field(default_factory=dict)

    def bot(self, bot_id: UUID, *, user_id: UUID, seq: int) -> BotChanges:
        """The changes of the bot of an event with sequence number `seq`."""
        changes = self._bots.setdefault(bot_id, BotChanges(user_id))
        changes.last_seq = max(changes.last_seq, seq)
        return changes

    def user(self, user_id: UUID) -> UserChanges:
        return self._users.setdefault(user_id, UserChanges())

    def write(self) -> None:
        """Saves all changes in the caller's transaction. Raises DatabaseError."""
        if self._bots:
            self._write_bots()
        if self.account_trades:
            AccountTrade.objects.bulk_create(self.account_trades)
        if self._users:
            self._write_users()
        wake_after_commit(STREAM)

    def _write_bots(self) -> None:
        statuses = _lock_statuses({bot_id: changes.user_id for bot_id, changes in self._bots.items()})
        run_events = [each for changes in self._bots.values() for each in changes.run_events]
        if run_events:
            RunEvent.objects.bulk_create(run_events)
            _derive_states([statuses[bot_id] for bot_id in {each.bot_id for each in run_events}])
        for bot_id, changes in self._bots.items():
            _apply(statuses[bot_id], changes)
        self.orders.write()
        trades = [each for changes in self._bots.values() for each in changes.trades]
        if trades:
            BotTrade.objects.bulk_create(trades)
        releases = [each for changes in self._bots.values() for each in changes.releases]
        if releases:
            PositionRelease.objects.bulk_create(releases)
        BotStatus.objects.bulk_create(
            statuses.values(), update_conflicts=True, unique_fields=["bot_id"], update_fields=_STATUS_FIELDS
        )

    def _write_users(self) -> None:
        rows = [
            (user_id, changes.registered_at, changes.trades, changes.last_trade_at)
            for user_id, changes in self._users.items()
        ]
        with connection.cursor() as cursor:
            cursor.execute(_USERS, [list(column) for column in zip(*rows, strict=True)])


def _lock_statuses(users: dict[UUID, UUID]) -> dict[UUID, BotStatus]:
    """Locks the bots' rows, and creates missing ones: two consumers may process events of one bot concurrently."""
    locked = _locked(users)
    missing = sorted(users.keys() - locked.keys())
    if missing:
        BotStatus.objects.bulk_create(
            [BotStatus(bot_id=bot_id, user_id=users[bot_id]) for bot_id in missing], ignore_conflicts=True
        )
        locked |= _locked(missing)
    return locked


def _locked(bot_ids: Collection[UUID]) -> dict[UUID, BotStatus]:
    rows = BotStatus.objects.select_for_update().filter(bot_id__in=list(bot_ids)).order_by("bot_id")
    return {row.bot_id: row for row in rows}


def _derive_states(statuses: Collection[BotStatus]) -> None:
    """Sets the state from the latest run. Late run events of an earlier run change nothing."""
    bot_ids = [status.bot_id for status in statuses]
    starts = {each.bot_id: each for each in RunEvent.objects.raw(_LATEST_STARTS, [bot_ids, BotState.RUNNING.value])}
    concerning_the_run = Q()
    for status in statuses:
        start = starts.get(status.bot_id)
        concerning_the_run |= Q(bot_id=status.bot_id) & (
            Q(seq__gt=start.seq) & (Q(run_id=start.run_id) | Q(run_id=None)) if start else Q()
        )
    run_events = RunEvent.objects.filter(concerning_the_run).exclude(state=BotState.RUNNING)
    ends = {each.bot_id: each for each in run_events.order_by("bot_id", "-seq").distinct("bot_id")}
    for status in statuses:
        start = starts.get(status.bot_id)
        current = ends.get(status.bot_id) or start
        assert current is not None
        if start is not None:
            status.run_id, status.run_started_at, status.config_version = start.run_id, start.at, start.config_version
        else:
            status.run_id = current.run_id
        status.state, status.since = current.state, current.at
        status.reason = current.reason


def _apply(status: BotStatus, changes: BotChanges) -> None:
    status.last_seq = max(status.last_seq, changes.last_seq)
    if changes.error is not None and changes.error[0] > status.error_seq:
        status.error_seq, error = changes.error
        status.error_at, status.error_code, status.error_message = error.failed_at, error.code, error.message
    if changes.skip is not None and changes.skip[0] > status.skip_seq:
        status.skip_seq, skip = changes.skip
        status.skip_at, status.skip_code, status.skip_message = skip.skipped_at, skip.code, skip.message
    if changes.assets is not None:
        status.base_asset, status.quote_asset = changes.assets
    if changes.trades or changes.releases:
        _apply_moves(status, _in_order(changes.trades, changes.releases))


def _in_order(trades: Iterable[BotTrade], releases: Iterable[PositionRelease]) -> list[Move]:
    return sorted([*trades, *releases], key=lambda move: move.seq)


def _apply_moves(status: BotStatus, moves: list[Move]) -> None:
    """Updates the position P&L, and stores in each trade the position after it."""
    if moves[0].seq > max(status.trade_seq, status.release_seq):
        pnl = _fold(PositionPnl(**{name: getattr(status, name) for name in _PNL_FIELDS}), moves)
    else:
        pnl = _recompute(status.bot_id, moves)
    for move in moves:
        if isinstance(move, PositionRelease):
            status.release_seq = max(status.release_seq, move.seq)
        elif move.seq > status.trade_seq:
            status.trade_seq, status.last_trade_at = move.seq, move.executed_at
    for name in _PNL_FIELDS:
        setattr(status, name, getattr(pnl, name))


def _recompute(bot_id: UUID, late: list[Move]) -> PositionPnl:
    """Recomputes the position P&L after a late move: it depends on the order of the moves."""
    known = list(BotTrade.objects.filter(bot_id=bot_id))
    released = PositionRelease.objects.filter(bot_id=bot_id)
    pnl = _fold(PositionPnl(), sorted([*known, *released, *late], key=lambda move: move.seq))
    after = [trade for trade in known if trade.seq > late[0].seq]
    BotTrade.objects.bulk_update(after, _FOLDED_FIELDS, batch_size=500)
    return pnl


def _fold(pnl: PositionPnl, moves: list[Move]) -> PositionPnl:
    for trade in moves:
        if isinstance(trade, PositionRelease):
            pnl = pnl.without(trade.volume)
            continue
        before, pnl = pnl, pnl.after(_fill_of(trade))
        with exactly():
            trade.realised_pnl = pnl.realised_pnl - before.realised_pnl
        trade.realised_total = pnl.realised_pnl
        trade.position_volume, trade.position_cost = pnl.position_volume, pnl.position_cost
    return pnl


def _fill_of(trade: BotTrade) -> Fill:
    return Fill(side=Side(trade.side), volume=trade.volume, cost=trade.cost, fee=trade.fee)
