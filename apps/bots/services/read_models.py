"""Applies events to the read models, in any order and in batches of any size, but each event once only.

Status messages and trades arrive by different brokers. Every handler therefore adds its event, and each row is derived
from all known events in the order of the bot's sequence numbers (`read_model_changes`).
"""

from collections.abc import Iterable
from datetime import datetime
from functools import singledispatch
from typing import Any

from apps.bots.models import (
    AccountTrade,
    BotOrder,
    BotState,
    BotStatus,
    BotTrade,
    OrderStep,
    PositionRelease,
    RunEvent,
    UserTrading,
)
from apps.bots.services.read_model_changes import BotChanges, ReadModelChanges
from apps.messages.base import Message
from apps.messages.bots import BotError, BotStarted, BotStopped
from apps.messages.envelope import Envelope
from apps.messages.orders import OrderFacts
from apps.messages.trading import (
    BotTradeExecuted,
    BotTradeSkipped,
    PositionAbandoned,
    PositionWrittenOff,
    TradeExecuted,
)
from apps.messages.user import UserCreated

# These tables are written by events only.
MODELS = (RunEvent, BotStatus, BotTrade, PositionRelease, BotOrder, OrderStep, AccountTrade, UserTrading)

_STATE_AFTER = {
    "pause": BotState.PAUSED,
    "stop": BotState.STOPPED,
    "flatten": BotState.STOPPED,
    "error": BotState.ERROR,
}
_ACCOUNT_TRADE_FIELDS = [field.attname for field in AccountTrade._meta.concrete_fields]


def apply(batch: Iterable[tuple[Message, Envelope]]) -> None:
    """Applies a batch of events in the caller's transaction. Raises DatabaseError."""
    changes = ReadModelChanges()
    for message, envelope in batch:
        _collect(message, envelope, changes)
    changes.write()


@singledispatch
def _collect(message: Message, _: Envelope, __: ReadModelChanges) -> None:
    raise TypeError(f"The read models do not show {type(message).__name__}.")


@_collect.register
def _started(message: BotStarted, envelope: Envelope, changes: ReadModelChanges) -> None:
    _add_run_event(
        message, envelope, changes,
        state=BotState.RUNNING, at=message.started_at, config_version=message.config_version,
    )  # fmt: skip


@_collect.register
def _stopped(message: BotStopped, envelope: Envelope, changes: ReadModelChanges) -> None:
    _add_run_event(
        message, envelope, changes,
        state=_STATE_AFTER[message.manner], at=message.stopped_at,
        reason=message.reason,
    )  # fmt: skip


@_collect.register
def _failed(message: BotError, envelope: Envelope, changes: ReadModelChanges) -> None:
    bot, seq = _bot(message, envelope, changes), envelope.aggregate_seq
    if bot.error is None or seq > bot.error[0]:
        bot.error = seq, message
    if message.is_final:
        _add_run_event(message, envelope, changes, state=BotState.ERROR, at=message.failed_at, reason=message.message)


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
def _position_abandoned(message: PositionAbandoned, envelope: Envelope, changes: ReadModelChanges) -> None:
    _add_release(message, envelope, changes, at=message.abandoned_at)


@_collect.register
def _position_written_off(message: PositionWrittenOff, envelope: Envelope, changes: ReadModelChanges) -> None:
    _add_release(message, envelope, changes, at=message.written_off_at)


@_collect.register
def _account_trade_executed(message: TradeExecuted, _: Envelope, changes: ReadModelChanges) -> None:
    changes.account_trades.append(AccountTrade(**{name: getattr(message, name) for name in _ACCOUNT_TRADE_FIELDS}))
    user = changes.user(message.user_id)
    user.trades += 1
    user.last_trade_at = max(user.last_trade_at or message.executed_at, message.executed_at)


@_collect.register
def _order_changed(message: OrderFacts, envelope: Envelope, changes: ReadModelChanges) -> None:
    _bot(message, envelope, changes)
    changes.orders.add(message, envelope)


@_collect.register
def _user_created(message: UserCreated, _: Envelope, changes: ReadModelChanges) -> None:
    changes.user(message.user_id).registered_at = message.created_at


def _bot(
    message: BotStarted
    | BotStopped
    | BotError
    | BotTradeSkipped
    | BotTradeExecuted
    | PositionAbandoned
    | PositionWrittenOff
    | OrderFacts,
    envelope: Envelope,
    changes: ReadModelChanges,
) -> BotChanges:
    return changes.bot(message.bot_id, user_id=message.user_id, seq=envelope.aggregate_seq)


def _add_release(
    message: PositionAbandoned | PositionWrittenOff, envelope: Envelope, changes: ReadModelChanges, *, at: datetime
) -> None:
    _bot(message, envelope, changes).releases.append(
        PositionRelease(
            release_id=message.release_id,
            bot_id=message.bot_id,
            seq=envelope.aggregate_seq,
            volume=message.volume,
            at=at,
        )
    )


def _add_run_event(
    message: BotStarted | BotStopped | BotError,
    envelope: Envelope,
    changes: ReadModelChanges,
    *,
    state: BotState,
    at: datetime,
    **more: Any,
) -> None:
    _bot(message, envelope, changes).run_events.append(
        RunEvent(
            event_id=envelope.event_id,
            bot_id=message.bot_id,
            seq=envelope.aggregate_seq,
            state=state,
            run_id=message.run_id,
            command_id=message.command_id,
            at=at,
            **more,
        )
    )
