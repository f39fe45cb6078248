"""Events about what may trade: halts of bots, keys, users and the platform."""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from apps.messages.base import Event
from apps.messages.topics import TRADING_EVENTS

Scope = Literal["bot", "key", "user", "platform"]


class HaltSet(Event, name="risk.halt.set", topic=TRADING_EVENTS.name, aggregate="halt", key="halt_id"):
    """`reducing`: the subject's bots make exits only; `halted`: they send no order. `user_id` owns the subject.

    `subject_id` is the bot's, key's or user's id, and the nil UUID for the platform. `code` names the cause.
    """

    halt_id: UUID
    scope: Scope
    subject_id: UUID
    user_id: UUID | None = None
    level: Literal["reducing", "halted"]
    source: Literal["user", "staff", "system"]
    code: str
    reason: str
    set_by: str
    set_at: datetime


class HaltLifted(Event, name="risk.halt.lifted", topic=TRADING_EVENTS.name, aggregate="halt", key="halt_id"):
    """The halt of one cause ended; halts of other causes on the same subject may still hold."""

    halt_id: UUID
    scope: Scope
    subject_id: UUID
    user_id: UUID | None = None
    code: str
    lifted_by: str
    because: str
    lifted_at: datetime


class CapsChanged(Event, name="risk.caps.changed", topic=TRADING_EVENTS.name, aggregate="user", key="user_id"):
    """A user changed the caps on live trading in one quote asset: of all bots, or of one. Amounts in that asset."""

    user_id: UUID
    bot_id: UUID | None = None
    asset: str
    largest_order: Decimal
    largest_position: Decimal
    largest_budget: Decimal
    is_raised: bool
    changed_at: datetime
