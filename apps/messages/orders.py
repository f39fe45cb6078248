"""Events about orders: one for each step of an order's life, with the whole order as it is after that step.

All are published in the transaction that stores the step, on the bot's stream, in the order of the steps. A type may
follow itself: a further fill, or further evidence, without a change of state. Consumers need the newest event only, and
the earlier ones for the history. The legal order of the steps: docs/orders.md.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from apps.core.terms import Mode, Side
from apps.messages.base import Event, Message
from apps.messages.topics import TRADING_EVENTS


class OrderFacts(Message):
    """An order after one step.

    `price`, `filled_cost` and `filled_fee` are in the quote asset, `volume` and `filled_volume` in the base asset.
    `kind`: `take` is immediate or cancel, `rest` is good till cancelled; both are limit orders. `decision_id`
    identifies the bot's decision, `attempt` numbers the orders of one decision. `exchange_order_id` is empty until the
    exchange has named it. `code` says why the order has its state, for programs. `evidence` is what this step observed,
    each with its time `at`. `market_time` is the time of the candle that the bot decided on. All times are UTC.
    """

    bot_id: UUID
    run_id: UUID
    user_id: UUID
    credential_id: UUID
    order_id: UUID
    command_id: UUID | None = None
    decision_id: str
    attempt: int
    client_order_id: str
    exchange_order_id: str = ""
    mode: Mode
    strategy: str
    pair: str
    side: Side
    kind: Literal["take", "rest"]
    price: Decimal
    volume: Decimal
    filled_volume: Decimal
    filled_cost: Decimal
    filled_fee: Decimal
    state: str
    code: str = ""
    reason: str = ""
    evidence: tuple[dict[str, Any], ...] = ()
    market_time: datetime | None = None
    planned_at: datetime
    sent_at: datetime | None = None
    deadline: datetime | None = None
    cancel_requested_at: datetime | None = None
    ended_at: datetime | None = None
    changed_at: datetime


class BotOrderPlanned(
    OrderFacts, Event, name="bot.order.planned", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"
):
    """An order was decided and stored, and what it may take is reserved. Nothing is sent yet."""


class BotOrderSent(OrderFacts, Event, name="bot.order.sent", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"):
    """A worker is about to send the order: from now on it may have been sent."""


class BotOrderOpened(
    OrderFacts, Event, name="bot.order.opened", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"
):
    """The exchange has accepted the order."""


class BotOrderPartlyFilled(
    OrderFacts, Event, name="bot.order.partly_filled", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"
):
    """A part of the order was filled. Each fill is a `bot.trade.executed` before it."""


class BotOrderFilled(
    OrderFacts, Event, name="bot.order.filled", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"
):
    """The order ended with its whole volume filled."""


class BotOrderEnded(
    OrderFacts, Event, name="bot.order.ended", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"
):
    """The order ended otherwise: `state` is canceled, expired, rejected or not_placed. It may carry fills."""


class BotOrderUnknown(
    OrderFacts, Event, name="bot.order.unknown", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"
):
    """The order was sent and no answer says what became of it, or a further look has not found it."""


class BotOrderNeedsPerson(
    OrderFacts, Event, name="bot.order.needs_person", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"
):
    """The evidence contradicts itself or proves nothing: a person has to look at the account."""


class BotOrderResolved(
    OrderFacts, Event, name="bot.order.resolved", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"
):
    """The doubt about an order is over; the event of its state follows.

    `was` is the doubtful state. `operator` is the person who resolved it, empty where evidence of the exchange did.
    """

    was: str
    operator: str = ""


ORDER_EVENTS: tuple[type[Event], ...] = (
    BotOrderPlanned,
    BotOrderSent,
    BotOrderOpened,
    BotOrderPartlyFilled,
    BotOrderFilled,
    BotOrderEnded,
    BotOrderUnknown,
    BotOrderNeedsPerson,
    BotOrderResolved,
)
