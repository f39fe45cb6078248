"""What events do to the read models. Each function may be called in any order of the events, but once for each.

Status messages and trades reach this service by different brokers. Every function therefore adds what it is told and
then reads the result off all that is known, by the bot's own count of its events.
"""

from uuid import UUID

from django.db.models import F, Q
from django.db.models.functions import Greatest

from apps.bots.accounting import Book, Fill, exactly
from apps.bots.models import AccountTrade, BotRunNews, BotState, BotStatus, BotTrade, UserTrading
from apps.events.catalogue.bots import BotError, BotStarted, BotStopped
from apps.events.catalogue.trading import BotTradeExecuted, BotTradeSkipped, TradeExecuted
from apps.events.catalogue.user import UserCreated

_STATE_AFTER = {
    "pause": BotState.PAUSED,
    "stop": BotState.STOPPED,
    "flatten": BotState.STOPPED,
    "error": BotState.ERROR,
}
_BOOK_FIELDS = ("trades", "position_volume", "position_cost", "quote_flow", "realised_pnl", "fees")


def started(message: BotStarted, *, event_id: UUID, seq: int) -> None:
    status = _status_for_update(bot_id=message.bot_id, user_id=message.user_id, seq=seq)
    BotRunNews.objects.create(
        event_id=event_id,
        bot_id=message.bot_id,
        seq=seq,
        state=BotState.RUNNING,
        run_id=message.run_id,
        command_id=message.command_id,
        config_version=message.config_version,
        at=message.started_at,
    )
    _read_state(status)
    status.save()


def stopped(message: BotStopped, *, event_id: UUID, seq: int) -> None:
    status = _status_for_update(bot_id=message.bot_id, user_id=message.user_id, seq=seq)
    BotRunNews.objects.create(
        event_id=event_id,
        bot_id=message.bot_id,
        seq=seq,
        state=_STATE_AFTER[message.manner],
        run_id=message.run_id,
        command_id=message.command_id,
        reason=message.reason,
        open_orders=list(message.open_orders),
        at=message.stopped_at,
    )
    _read_state(status)
    status.save()


def failed(message: BotError, *, event_id: UUID, seq: int) -> None:
    status = _status_for_update(bot_id=message.bot_id, user_id=message.user_id, seq=seq)
    if seq > status.error_seq:
        status.error_seq, status.error_at = seq, message.failed_at
        status.error_code, status.error_message = message.code, message.message
    if message.is_final:
        BotRunNews.objects.create(
            event_id=event_id,
            bot_id=message.bot_id,
            seq=seq,
            state=BotState.ERROR,
            run_id=message.run_id,
            command_id=message.command_id,
            reason=message.message,
            at=message.failed_at,
        )
        _read_state(status)
    status.save()


def trade_skipped(message: BotTradeSkipped, *, seq: int) -> None:
    status = _status_for_update(bot_id=message.bot_id, user_id=message.user_id, seq=seq)
    if seq > status.skip_seq:
        status.skip_seq, status.skip_at = seq, message.skipped_at
        status.skip_code, status.skip_message = message.code, message.message
    status.save()


def trade_executed(message: BotTradeExecuted, *, seq: int) -> None:
    status = _status_for_update(bot_id=message.bot_id, user_id=message.user_id, seq=seq)
    trade = BotTrade(
        trade_id=message.trade_id,
        bot_id=message.bot_id,
        seq=seq,
        run_id=message.run_id,
        user_id=message.user_id,
        order_id=message.order_id,
        exchange_trade_id=message.exchange_trade_id,
        mode=message.mode,
        strategy=message.strategy,
        pair=message.pair,
        side=message.side,
        price=message.price,
        volume=message.volume,
        cost=message.cost,
        fee=message.fee,
        market_time=message.market_time,
        executed_at=message.executed_at,
    )
    status.base_asset, status.quote_asset = message.base_asset, message.quote_asset
    if seq > status.trade_seq:
        status.trade_seq, status.last_trade_at = seq, message.executed_at
        book = _book_of_status(status).after(_fill_of(trade))
        _note_position(trade, before=_book_of_status(status), after=book)
        trade.save(force_insert=True)
    else:
        trade.save(force_insert=True)
        book = _fold_again(message.bot_id)
    for field in _BOOK_FIELDS:
        setattr(status, field, getattr(book, field))
    status.save()


def account_trade_executed(message: TradeExecuted) -> None:
    AccountTrade.objects.create(
        **message.model_dump(include={field.attname for field in AccountTrade._meta.concrete_fields})
    )
    UserTrading.objects.get_or_create(user_id=message.user_id)
    UserTrading.objects.filter(user_id=message.user_id).update(
        trades=F("trades") + 1, last_trade_at=Greatest("last_trade_at", message.executed_at)
    )


def user_created(message: UserCreated) -> None:
    UserTrading.objects.get_or_create(user_id=message.user_id)
    UserTrading.objects.filter(user_id=message.user_id).update(registered_at=message.created_at)


def clear() -> None:
    """Empties the read models, to be told everything again."""
    for model in (BotRunNews, BotStatus, BotTrade, AccountTrade, UserTrading):
        model._default_manager.all().delete()


def _status_for_update(*, bot_id: UUID, user_id: UUID, seq: int) -> BotStatus:
    """The bot's row, locked: two consumers may hold events of one bot at the same time."""
    BotStatus.objects.bulk_create([BotStatus(bot_id=bot_id, user_id=user_id)], ignore_conflicts=True)
    status = BotStatus.objects.select_for_update().get(bot_id=bot_id)
    status.last_seq = max(status.last_seq, seq)
    return status


def _read_state(status: BotStatus) -> None:
    """The state is the latest run's: what a run before it says, however late, changes nothing any more."""
    news = BotRunNews.objects.filter(bot_id=status.bot_id)
    start = news.filter(state=BotState.RUNNING).order_by("-seq").first()
    ends = news.exclude(state=BotState.RUNNING)
    if start is not None:
        ends = ends.filter(Q(run_id=start.run_id) | Q(run_id=None), seq__gt=start.seq)
        status.run_id, status.run_started_at, status.config_version = start.run_id, start.at, start.config_version
    current = ends.order_by("-seq").first() or start
    assert current is not None
    if start is None:
        status.run_id = current.run_id
    status.state, status.since = current.state, current.at
    status.reason, status.open_orders = current.reason, current.open_orders


def _fold_again(bot_id: UUID) -> Book:
    """A trade came late: the book is kept in the order in which they happened, so it is kept anew."""
    book = Book()
    trades = list(BotTrade.objects.filter(bot_id=bot_id).order_by("seq"))
    for trade in trades:
        before, book = book, book.after(_fill_of(trade))
        _note_position(trade, before=before, after=book)
    BotTrade.objects.bulk_update(trades, ["realised_pnl", "position_volume", "position_cost"], batch_size=500)
    return book


def _note_position(trade: BotTrade, *, before: Book, after: Book) -> None:
    with exactly():
        trade.realised_pnl = after.realised_pnl - before.realised_pnl
    trade.position_volume, trade.position_cost = after.position_volume, after.position_cost


def _book_of_status(status: BotStatus) -> Book:
    return Book(**{field: getattr(status, field) for field in _BOOK_FIELDS})


def _fill_of(trade: BotTrade) -> Fill:
    return Fill(side="buy" if trade.side == "buy" else "sell", volume=trade.volume, cost=trade.cost, fee=trade.fee)
