"""Kafka consumers: events of bots, trades, users and exchange keys update the read models and the alerts."""

from collections.abc import Sequence

from apps.bots.selectors import reports
from apps.bots.services import alerts, read_models
from apps.events.consumers.registry import consumes, consumes_batch
from apps.messages.accounts import AccountDrift, AccountDriftResolved
from apps.messages.base import Message
from apps.messages.bots import BotError, BotStarted, BotStopped
from apps.messages.envelope import Envelope
from apps.messages.kraken import KrakenKeyTestFailed
from apps.messages.orders import ORDER_EVENTS
from apps.messages.trading import (
    BotTradeExecuted,
    BotTradeLimited,
    BotTradeSkipped,
    PositionAbandoned,
    PositionWrittenOff,
    TradeExecuted,
)
from apps.messages.user import UserCreated

READ_MODELS = reports.READ_MODELS
ALERTS = "kraken.alerts"


@consumes_batch(
    BotStarted,
    BotStopped,
    BotError,
    BotTradeExecuted,
    BotTradeSkipped,
    PositionAbandoned,
    BotTradeLimited,
    PositionWrittenOff,
    TradeExecuted,
    UserCreated,
    *ORDER_EVENTS,
    group=READ_MODELS,
)
def apply_to_read_models(batch: Sequence[tuple[Message, Envelope]]) -> None:
    read_models.apply(batch)


@consumes(KrakenKeyTestFailed, group=ALERTS)
def key_test_failed(message: KrakenKeyTestFailed, envelope: Envelope) -> None:
    alerts.key_test_failed(message, event_id=envelope.event_id)


@consumes(BotError, group=ALERTS)
def bot_failed(message: BotError, envelope: Envelope) -> None:
    alerts.bot_failed(message, event_id=envelope.event_id)


@consumes(AccountDrift, group=ALERTS)
def account_drifted(message: AccountDrift, envelope: Envelope) -> None:
    alerts.account_drifted(message, event_id=envelope.event_id)


@consumes(AccountDriftResolved, group=ALERTS)
def account_drift_resolved(message: AccountDriftResolved, envelope: Envelope) -> None:
    alerts.account_drift_resolved(message, event_id=envelope.event_id)
