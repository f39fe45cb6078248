"""What events do to the read models. They may come in any order and in batches of any size, but each only once.

Status messages and trades reach this service by different brokers. Every function therefore adds what it is told, and
what a row shows is read off all that is known, by the bot's own count of its events (`read_model_changes`).
"""

from collections.abc import Iterable
from functools import singledispatch

from apps.bots.models import AccountTrade, BotRunNews, BotState, BotStatus, BotTrade, UserTrading
from apps.bots.services.read_model_changes import BotChanges, ReadModelChanges
from apps.messages.base import Message
from apps.messages.bots import BotError, BotStarted, BotStopped
from apps.messages.envelope import Envelope
from apps.messages.trading import BotTradeExecuted, BotTradeSkipped, TradeExecuted
from apps.messages.user import UserCreated

# What these tables hold comes from events alone.
MODELS = (BotRunNews, BotStatus, BotTrade, AccountTrade, UserTrading)

_STATE_AFTER = {
    "pause": BotState.PAUSED,
    "stop": BotState.STOPPED,
    "flatten": BotState.STOPPED,
    "error": BotState.ERROR,
}
_ACCOUNT_TRADE_FIELDS = [field.attname for field in AccountTrade._meta.concrete_fields]


def apply(batch: Iterable[tuple[Message, Envelope]]) -> None:
    """Brings the read models up to date with the events, in the caller's transaction. Raises DatabaseError."""
    changes = ReadModelChanges()
    for message, envelope in batch:
        _collect(message, envelope, changes)
    changes.write()


@singledispatch
def _collect(message: Message, _: Envelope, __: ReadModelChanges) -> None:
    raise TypeError(f"The read models do not show {type(message).__name__}.")


@_collect.register
def _started(message: BotStarted, envelope: Envelope, changes: ReadModelChanges) -> None:
    _bot(message, envelope, changes).news.append(
        BotRunNews(
            event_id=envelope.event_id,
            bot_id=message.bot_id,
            seq=envelope.aggregate_seq,
            state=BotState.RUNNING,
            run_id=message.run_id,
            command_id=message.command_id,
            config_version=message.config_version,
            at=message.started_at,
        )
    )


@_collect.register
def _stopped(message: BotStopped, envelope: Envelope, changes: ReadModelChanges) -> None:
    _bot(message, envelope, changes).news.append(
        BotRunNews(
            event_id=envelope.event_id,
            bot_id=message.bot_id,
            seq=envelope.aggregate_seq,
            state=_STATE_AFTER[message.manner],
            run_id=message.run_id,
            command_id=message.command_id,
            reason=message.reason,
            open_orders=list(message.open_orders),
            at=message.stopped_at,
        )
    )


@_collect.register
def _failed(message: BotError, envelope: Envelope, changes: ReadModelChanges) -> None:
    bot, seq = _bot(message, envelope, changes), envelope.aggregate_seq
    if bot.error is None or seq > bot.error[0]:
        bot.error = seq, message
    if message.is_final:
        bot.news.append(
            BotRunNews(
                event_id=envelope.event_id,
                bot_id=message.bot_id,
                seq=seq,
                state=BotState.ERROR,
                run_id=message.run_id,
                command_id=message.command_id,
                reason=message.message,
                at=message.failed_at,
            )
        )


@_collect.register
def _trade_skipped(message: BotTradeSkipped, envelope: Envelope, changes: ReadModelChanges) -> None:
    bot, seq = _bot(message, envelope, changes), envelope.aggregate_seq
    if bot.skip is None or seq > bot.skip[0]:
        bot.skip = seq, message


@_collect.register
def _trade_executed(message: BotTradeExecuted, envelope: Envelope, changes: ReadModelChanges) -> None:
    bot = _bot(message, envelope, changes)
    bot.assets = message.base_asset, message.quote_asset
    bot.trades.append(
        BotTrade(
            trade_id=message.trade_id,
            bot_id=message.bot_id,
            seq=envelope.aggregate_seq,
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
    )


@_collect.register
def _account_trade_executed(message: TradeExecuted, _: Envelope, changes: ReadModelChanges) -> None:
    changes.account_trades.append(AccountTrade(**{name: getattr(message, name) for name in _ACCOUNT_TRADE_FIELDS}))
    user = changes.user(message.user_id)
    user.trades += 1
    user.last_trade_at = max(user.last_trade_at or message.executed_at, message.executed_at)


@_collect.register
def _user_created(message: UserCreated, _: Envelope, changes: ReadModelChanges) -> None:
    changes.user(message.user_id).registered_at = message.created_at


def _bot(
    message: BotStarted | BotStopped | BotError | BotTradeSkipped | BotTradeExecuted,
    envelope: Envelope,
    changes: ReadModelChanges,
) -> BotChanges:
    return changes.bot(message.bot_id, user_id=message.user_id, seq=envelope.aggregate_seq)
