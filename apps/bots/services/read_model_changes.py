"""What a batch of events changes in the read models, and how it is written: few statements, however many events."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Q

from apps.bots.models import AccountTrade, BotRunNews, BotState, BotStatus, BotTrade
from apps.bots.position_pnl import Book, Fill, exactly
from apps.core.terms import Side
from apps.messages.bots import BotError
from apps.messages.trading import BotTradeSkipped

_BOOK_FIELDS = ("trades", "position_volume", "position_cost", "quote_flow", "realised_pnl", "fees")
_STATUS_FIELDS = [each.attname for each in BotStatus._meta.concrete_fields if not each.primary_key]

# In the order of the ids: two consumers that change the same users must not lock them crosswise.
_USERS = """
INSERT INTO user_trading AS kept (user_id, registered_at, trades, last_trade_at)
SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::int[], %s::timestamptz[]) AS told (user_id) ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET
    registered_at = coalesce(excluded.registered_at, kept.registered_at),
    trades = kept.trades + excluded.trades,
    last_trade_at = greatest(kept.last_trade_at, excluded.last_trade_at)
"""

# By the index of each bot: all that its earlier runs said stays unread.
_LATEST_STARTS = """
SELECT news.* FROM unnest(%s::uuid[]) AS wanted (bot_id) CROSS JOIN LATERAL (
    SELECT * FROM bot_run_news AS each WHERE each.bot_id = wanted.bot_id AND each.state = %s ORDER BY seq DESC LIMIT 1
) AS news
"""


@dataclass
class BotChanges:
    """What events say of one bot. Of errors and skipped trades the newest counts: (seq, message)."""

    user_id: UUID
    last_seq: int = 0
    error: tuple[int, BotError] | None = None
    skip: tuple[int, BotTradeSkipped] | None = None
    news: list[BotRunNews] = field(default_factory=list)
    trades: list[BotTrade] = field(default_factory=list)
    assets: tuple[str, str] | None = None


@dataclass
class UserChanges:
    registered_at: datetime | None = None
    trades: int = 0
    last_trade_at: datetime | None = None


@dataclass
class ReadModelChanges:
    """Collected event by event, and written once."""

    account_trades: list[AccountTrade] = field(default_factory=list)
    _bots: dict[UUID, BotChanges] = field(default_factory=dict)
    _users: dict[UUID, UserChanges] = field(default_factory=dict)

    def bot(self, bot_id: UUID, *, user_id: UUID, seq: int) -> BotChanges:
        """The changes of a bot that an event numbered `seq` speaks of."""
        changes = self._bots.setdefault(bot_id, BotChanges(user_id))
        changes.last_seq = max(changes.last_seq, seq)
        return changes

    def user(self, user_id: UUID) -> UserChanges:
        return self._users.setdefault(user_id, UserChanges())

    def write(self) -> None:
        """In the caller's transaction. Raises DatabaseError."""
        if self._bots:
            self._write_bots()
        if self.account_trades:
            AccountTrade.objects.bulk_create(self.account_trades)
        if self._users:
            self._write_users()

    def _write_bots(self) -> None:
        statuses = _lock_statuses({bot_id: changes.user_id for bot_id, changes in self._bots.items()})
        news = [each for changes in self._bots.values() for each in changes.news]
        if news:
            BotRunNews.objects.bulk_create(news)
            _read_states([statuses[bot_id] for bot_id in {each.bot_id for each in news}])
        for bot_id, changes in self._bots.items():
            _tell(statuses[bot_id], changes)
        trades = [each for changes in self._bots.values() for each in changes.trades]
        if trades:
            BotTrade.objects.bulk_create(trades)
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
    """The bots' rows, made where there are none, and locked: two consumers may hold events of one bot at once."""
    locked = _locked(users)
    lacking = sorted(users.keys() - locked.keys())
    if lacking:
        BotStatus.objects.bulk_create(
            [BotStatus(bot_id=bot_id, user_id=users[bot_id]) for bot_id in lacking], ignore_conflicts=True
        )
        locked |= _locked(lacking)
    return locked


def _locked(bot_ids: Collection[UUID]) -> dict[UUID, BotStatus]:
    rows = BotStatus.objects.select_for_update().filter(bot_id__in=list(bot_ids)).order_by("bot_id")
    return {row.bot_id: row for row in rows}


def _read_states(statuses: Collection[BotStatus]) -> None:
    """The state is the latest run's: what a run before it says, however late, changes nothing any more."""
    bot_ids = [status.bot_id for status in statuses]
    starts = {each.bot_id: each for each in BotRunNews.objects.raw(_LATEST_STARTS, [bot_ids, BotState.RUNNING.value])}
    concerning_the_run = Q()
    for status in statuses:
        start = starts.get(status.bot_id)
        concerning_the_run |= Q(bot_id=status.bot_id) & (
            Q(seq__gt=start.seq) & (Q(run_id=start.run_id) | Q(run_id=None)) if start else Q()
        )
    news = BotRunNews.objects.filter(concerning_the_run).exclude(state=BotState.RUNNING)
    ends = {each.bot_id: each for each in news.order_by("bot_id", "-seq").distinct("bot_id")}
    for status in statuses:
        start = starts.get(status.bot_id)
        current = ends.get(status.bot_id) or start
        assert current is not None
        if start is not None:
            status.run_id, status.run_started_at, status.config_version = start.run_id, start.at, start.config_version
        else:
            status.run_id = current.run_id
        status.state, status.since = current.state, current.at
        status.reason, status.open_orders = current.reason, current.open_orders


def _tell(status: BotStatus, changes: BotChanges) -> None:
    status.last_seq = max(status.last_seq, changes.last_seq)
    if changes.error is not None and changes.error[0] > status.error_seq:
        status.error_seq, error = changes.error
        status.error_at, status.error_code, status.error_message = error.failed_at, error.code, error.message
    if changes.skip is not None and changes.skip[0] > status.skip_seq:
        status.skip_seq, skip = changes.skip
        status.skip_at, status.skip_code, status.skip_message = skip.skipped_at, skip.code, skip.message
    if changes.assets is not None:
        status.base_asset, status.quote_asset = changes.assets
    if changes.trades:
        _tell_trades(status, sorted(changes.trades, key=lambda trade: trade.seq))


def _tell_trades(status: BotStatus, trades: list[BotTrade]) -> None:
    """Keeps the book, and notes in each trade where it left the position."""
    if trades[0].seq > status.trade_seq:
        book = _fold(Book(**{name: getattr(status, name) for name in _BOOK_FIELDS}), trades)
    else:
        book = _fold_again(status.bot_id, trades)
    if trades[-1].seq > status.trade_seq:
        status.trade_seq, status.last_trade_at = trades[-1].seq, trades[-1].executed_at
    for name in _BOOK_FIELDS:
        setattr(status, name, getattr(book, name))


def _fold_again(bot_id: UUID, late: list[BotTrade]) -> Book:
    """A trade came late: the book is kept in the order in which trades happened, so it is computed again."""
    known = list(BotTrade.objects.filter(bot_id=bot_id))
    book = _fold(Book(), sorted([*known, *late], key=lambda trade: trade.seq))
    after = [trade for trade in known if trade.seq > late[0].seq]
    BotTrade.objects.bulk_update(after, ["realised_pnl", "position_volume", "position_cost"], batch_size=500)
    return book


def _fold(book: Book, trades: list[BotTrade]) -> Book:
    for trade in trades:
        before, book = book, book.after(_fill_of(trade))
        with exactly():
            trade.realised_pnl = book.realised_pnl - before.realised_pnl
        trade.position_volume, trade.position_cost = book.position_volume, book.position_cost
    return book


def _fill_of(trade: BotTrade) -> Fill:
    return Fill(side=Side(trade.side), volume=trade.volume, cost=trade.cost, fee=trade.fee)
