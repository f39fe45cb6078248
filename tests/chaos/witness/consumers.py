"""Notes events and status messages, in the order in which their transactions ran."""

from django.db import connection

from apps.events.consumers.registry import consumes
from apps.messages.base import Message
from apps.messages.bots import BotError, BotStarted, BotStopped
from apps.messages.envelope import Envelope
from apps.messages.trading import BotTradeSkipped, TradeExecuted

GROUP = "chaos.witness"


@consumes(BotTradeSkipped, TradeExecuted, BotStarted, BotStopped, BotError, group=GROUP)
def see(message: Message, envelope: Envelope) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chaos.sighting (event_id, key, sequence, payload) VALUES (%s, %s, %s, %s)",
            [envelope.event_id, envelope.aggregate_id, envelope.aggregate_seq, envelope.payload],
        )
