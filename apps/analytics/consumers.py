"""Kafka consumers: what happened on the platform becomes the daily figures."""

from collections.abc import Sequence

from apps.analytics.services import figures_add
from apps.events.consumers.registry import consumes_batch
from apps.messages.base import Message
from apps.messages.bots import BotError, BotStarted
from apps.messages.definitions import BotCreated
from apps.messages.envelope import Envelope
from apps.messages.kraken import KrakenKeyConnected, KrakenKeyTestFailed
from apps.messages.trading import TradeExecuted
from apps.messages.user import OnboardingCompleted, UserCreated, UserLoggedIn, UserLoggedInByPasskey

ANALYTICS = "analytics"


@consumes_batch(
    UserCreated,
    UserLoggedIn,
    UserLoggedInByPasskey,
    OnboardingCompleted,
    KrakenKeyConnected,
    BotCreated,
    TradeExecuted,
    # Status messages: the kraken service reads their queues, this group their copies in Kafka.
    BotStarted,
    BotError,
    KrakenKeyTestFailed,
    group=ANALYTICS,
    from_journal=True,
)
def add_to_daily_figures(batch: Sequence[tuple[Message, Envelope]]) -> None:
    figures_add(batch)
