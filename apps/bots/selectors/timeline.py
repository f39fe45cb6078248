"""Timeline of a bot: its events, each with its cause, from the request to the fill."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.bots.errors import CommandNotFound
from apps.bots.selectors.bots import bot_get
from apps.bots.selectors.orders import evidence_shown
from apps.core.money import plain
from apps.core.terms import Side
from apps.events.store.selectors import chain_list, event_get, stream_page
from apps.messages.base import Message
from apps.messages.bots import (
    AbandonPosition,
    BotError,
    BotStarted,
    BotStopped,
    ResolveOrder,
    StartBot,
    StartLimitedBot,
    StopBot,
    TriggerTrade,
)
from apps.messages.envelope import Envelope
from apps.messages.orders import (
    ORDER_EVENTS,
    BotOrderEnded,
    BotOrderFilled,
    BotOrderNeedsPerson,
    BotOrderOpened,
    BotOrderPartlyFilled,
    BotOrderPlanned,
    BotOrderResolved,
    BotOrderSent,
    BotOrderUnknown,
    OrderFacts,
)
from apps.messages.trading import (
    BotTradeExecuted,
    BotTradeLimited,
    BotTradeSkipped,
    PositionAbandoned,
    PositionWrittenOff,
    TradeExecuted,
)

_ORDER_EVENT_NAMES = frozenset(event.declaration.name for event in ORDER_EVENTS)

# A causal chain grows while its run trades. Beyond this, the pages of the bot's timeline show the rest.
MAX_CHAIN = 500


@dataclass(frozen=True)
class TimelineEntry:
    """One event. `caused_by` is the event or command that caused it; None for the request's command."""

    event_id: UUID
    type: str
    title: str
    aggregate: str
    seq: int
    occurred_at: datetime
    correlation_id: UUID
    caused_by: UUID | None
    payload: dict[str, Any]


@dataclass(frozen=True)
class TimelinePage:
    """Newest first. `before_seq` is the cursor of the next older page; None on the last page."""

    entries: list[TimelineEntry]
    before_seq: int | None


def timeline_page(*, bot_id: UUID, user_id: UUID, before_seq: int | None, limit: int) -> TimelinePage:
    """Raises BotNotFound."""
    bot = bot_get(bot_id=bot_id, user_id=user_id)
    envelopes = stream_page(aggregate_type="bot", aggregate_id=bot.id, before_seq=before_seq, limit=limit + 1)
    page = envelopes[:limit]
    return TimelinePage(entries=_entries(page), before_seq=page[-1].aggregate_seq if len(envelopes) > limit else None)


def timeline_of_command(*, bot_id: UUID, command_id: UUID, user_id: UUID) -> list[TimelineEntry]:
    """All events caused by one command, oldest first, on any aggregate: at most MAX_CHAIN entries.

    Raises BotNotFound, CommandNotFound.
    """
    bot = bot_get(bot_id=bot_id, user_id=user_id)
    command = event_get(event_id=command_id)
    if command is None or command.aggregate_id != bot.id:
        raise CommandNotFound("There is no such command.")
    chain = chain_list(correlation_ids=[command.correlation_id], user_id=user_id, limit=MAX_CHAIN)
    return _entries(chain)


def _entries(envelopes: Iterable[Envelope]) -> list[TimelineEntry]:
    return [
        TimelineEntry(
            event_id=envelope.event_id,
            type=envelope.event_type,
            title=_title(envelope.message()),
            aggregate=f"{envelope.aggregate_type}:{envelope.aggregate_id}",
            seq=envelope.aggregate_seq,
            occurred_at=envelope.occurred_at,
            correlation_id=envelope.correlation_id,
            caused_by=envelope.causation_id,
            payload=_payload_shown(envelope),
        )
        for envelope in envelopes
    ]


def _payload_shown(envelope: Envelope) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(envelope.payload)
    if envelope.event_type in _ORDER_EVENT_NAMES:
        payload["evidence"] = evidence_shown(payload["evidence"])
    # Which of the staff it was is for the staff.
    payload.pop("operator", None)
    return payload


def _title(message: Message) -> str:
    describe = _TITLES.get(type(message))
    return describe(message) if describe else message.declaration.name


def _trigger(message: TriggerTrade) -> str:
    return f"A {message.side} was asked for." if message.side else "A trade was asked for."


def _stopped(message: BotStopped) -> str:
    left = f" {len(message.open_orders)} orders are still open." if message.open_orders else ""
    return f"Stopped ({message.manner}): {message.reason}{left}"


def _trade(message: BotTradeExecuted | TradeExecuted) -> str:
    verb = "Bought" if message.side == Side.BUY else "Sold"
    return (
        f"{verb} {plain(message.volume)} {message.base_asset} at {plain(message.price)} {message.quote_asset}, "
        f"fee {plain(message.fee)}."
    )


def _planned(message: BotOrderPlanned) -> str:
    return f"Planned to {message.side} {plain(message.volume)} {message.pair} at {plain(message.price)}."


def _filled_so_far(message: OrderFacts) -> str:
    return f"{plain(message.filled_volume)} of {plain(message.volume)} filled"


def _ended(message: BotOrderEnded) -> str:
    if message.state == "not_placed":
        return "The order was never placed."
    why = f": {message.code}" if message.code else ""
    if message.state == "rejected":
        return f"The exchange refused the order{why}."
    return f"The order ended as {message.state}{why}; {_filled_so_far(message)}."


def _stated(message: ResolveOrder) -> str:
    outcome = f"placed as {message.placed_as}" if message.placed_as else "never placed"
    return f"An operator states that an order was {outcome}."


def _resolved(message: BotOrderResolved) -> str:
    by = "An operator" if message.operator else "The exchange's records"
    return f"{by} settled what became of the order: it is {message.state}."


_TITLES: dict[type[Message], Callable[[Any], str]] = {
    StartBot: lambda message: f"A start was asked for (definition {message.config.version}).",
    StartLimitedBot: lambda message: f"A start was asked for (definition {message.config.version}).",
    StopBot: lambda message: f"A {message.manner} was asked for.",
    TriggerTrade: _trigger,
    ResolveOrder: _stated,
    BotStarted: lambda message: f"Started with definition {message.config_version}.",
    BotStopped: _stopped,
    BotError: lambda message: f"{'Ended with an error' if message.is_final else 'Trouble'}: {message.message}",
    BotTradeExecuted: _trade,
    BotTradeSkipped: lambda message: f"Held back from a {message.side}: {message.message}",
    BotTradeLimited: lambda message: f"Held back from a {message.side}: {message.message}",
    TradeExecuted: _trade,
    AbandonPosition: lambda _: "What the bot holds was given up to the account.",
    PositionAbandoned: lambda message: (
        f"{plain(message.volume)} {message.base_asset} stay in the account and belong to no bot."
    ),
    PositionWrittenOff: lambda message: (
        f"{plain(message.volume)} {message.base_asset} that the exchange does not have were written off."
    ),
    BotOrderPlanned: _planned,
    BotOrderSent: lambda message: f"Sending the order {message.client_order_id}.",
    BotOrderOpened: lambda message: f"The exchange accepted the order as {message.exchange_order_id}.",
    BotOrderPartlyFilled: lambda message: f"The order is partly filled: {_filled_so_far(message)}.",
    BotOrderFilled: lambda message: f"The order is filled: {plain(message.filled_volume)} {message.pair}.",
    BotOrderEnded: _ended,
    BotOrderUnknown: lambda message: f"What became of the order {message.client_order_id} is not known yet.",
    BotOrderNeedsPerson: lambda message: f"The order {message.client_order_id} waits for an operator: {message.code}.",
    BotOrderResolved: _resolved,
}
