"""News of bots, trades, users and exchange keys, for the read models and the alerts."""

from collections.abc import Sequence

from apps.bots.services import alerts, read_models
from apps.events.catalogue import Message
from apps.events.catalogue.bots import BotError, BotStarted, BotStopped
from apps.events.catalogue.kraken import KrakenKeyTestFailed
from apps.events.catalogue.trading import BotTradeExecuted, BotTradeSkipped, TradeExecuted
from apps.events.catalogue.user import UserCreated
from apps.events.consumers import consumes, consumes_batch
from apps.events.envelope import Envelope

READ_MODELS = "kraken.bot-read-models"
ALERTS = "kraken.alerts"


@consumes_batch(
    BotStarted, BotStopped, BotError, BotTradeExecuted, BotTradeSkipped, TradeExecuted, UserCreated, group=READ_MODELS
)
def apply_to_read_models(batch: Sequence[tuple[Message, Envelope]]) -> None:
    read_models.apply(batch)


@consumes(KrakenKeyTestFailed, group=ALERTS)
def key_test_failed(message: KrakenKeyTestFailed, envelope: Envelope) -> None:
    alerts.key_test_failed(message, event_id=envelope.event_id)


@consumes(BotError, group=ALERTS)
def bot_failed(message: BotError, envelope: Envelope) -> None:
    alerts.bot_failed(message, event_id=envelope.event_id)
