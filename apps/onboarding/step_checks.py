"""Step checks against the event store. The user service cannot read the tables of keys and bots, only their events."""

from uuid import UUID

from apps.events.store.selectors import stream_list
from apps.messages.bots import StartBot
from apps.messages.kraken import KrakenKeyConnected, KrakenKeyDisconnected


def key_is_connected(*, credential_id: UUID, user_id: UUID) -> bool:
    """Whether the user connected this key and has not disconnected it since."""
    is_connected = False
    for event in stream_list(aggregate_type=KrakenKeyConnected.declaration.aggregate, aggregate_id=credential_id):
        if event.user_id != user_id:
            continue
        if event.event_type == KrakenKeyConnected.declaration.name:
            is_connected = True
        elif event.event_type == KrakenKeyDisconnected.declaration.name:
            is_connected = False
    return is_connected


def bot_was_started(*, bot_id: UUID, user_id: UUID) -> bool:
    """Whether the user ever dispatched a start of this bot."""
    events = stream_list(aggregate_type=StartBot.declaration.aggregate, aggregate_id=bot_id)
    return any(event.event_type == StartBot.declaration.name and event.user_id == user_id for event in events)
