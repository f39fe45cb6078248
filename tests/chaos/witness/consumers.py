"""Notes events and status messages, in the order in which their transactions ran."""

from django.db import connection

from apps.events.catalogue import Message
from apps.events.catalogue.bots import BotError, BotStarted, BotStopped
from apps.events.catalogue.trading import BotTradeSkipped, TradeExecuted
from apps.events.consumers import consumes
from apps.events.envelope import Envelope

GROUP = "chaos.witness"


@consumes(BotTradeSkipped, TradeExecuted, BotStarted, BotStopped, BotError, group=GROUP)
def see(message: Message, envelope: Envelope) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chaos.sighting (event_id, key, sequence, payload) VALUES (%s, %s, %s, %s)",
            [envelope.event_id, envelope.aggregate_id, envelope.aggregate_seq, envelope.payload],
        )
