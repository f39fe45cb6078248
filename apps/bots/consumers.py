"""News of bots, trades, users and exchange keys, for the read models and the alerts."""

from apps.bots.services import alerts, read_models
from apps.events.catalogue.bots import BotError, BotStarted, BotStopped
from apps.events.catalogue.kraken import KrakenKeyTestFailed
from apps.events.catalogue.trading import BotTradeExecuted, BotTradeSkipped, TradeExecuted
from apps.events.catalogue.user import UserCreated
from apps.events.consumers import consumes
from apps.events.envelope import Envelope

READ_MODELS = "kraken.bot-read-models"
ALERTS = "kraken.alerts"


@consumes(BotStarted, group=READ_MODELS)
def started(message: BotStarted, envelope: Envelope) -> None:
    read_models.started(message, event_id=envelope.event_id, seq=envelope.aggregate_seq)


@consumes(BotStopped, group=READ_MODELS)
def stopped(message: BotStopped, envelope: Envelope) -> None:
    read_models.stopped(message, event_id=envelope.event_id, seq=envelope.aggregate_seq)


@consumes(BotError, group=READ_MODELS)
def failed(message: BotError, envelope: Envelope) -> None:
    read_models.failed(message, event_id=envelope.event_id, seq=envelope.aggregate_seq)


@consumes(BotTradeExecuted, group=READ_MODELS)
def trade_executed(message: BotTradeExecuted, envelope: Envelope) -> None:
    read_models.trade_executed(message, seq=envelope.aggregate_seq)


@consumes(BotTradeSkipped, group=READ_MODELS)
def trade_skipped(message: BotTradeSkipped, envelope: Envelope) -> None:
    read_models.trade_skipped(message, seq=envelope.aggregate_seq)


@consumes(TradeExecuted, group=READ_MODELS)
def account_trade_executed(message: TradeExecuted, _: Envelope) -> None:
    read_models.account_trade_executed(message)


@consumes(UserCreated, group=READ_MODELS)
def user_created(message: UserCreated, _: Envelope) -> None:
    read_models.user_created(message)


@consumes(KrakenKeyTestFailed, group=ALERTS)
def key_test_failed(message: KrakenKeyTestFailed, envelope: Envelope) -> None:
    alerts.key_test_failed(message, event_id=envelope.event_id)


@consumes(BotError, group=ALERTS)
def bot_failed(message: BotError, envelope: Envelope) -> None:
    alerts.bot_failed(message, event_id=envelope.event_id)
