"""Events about live trading on this installation."""

from datetime import datetime
from uuid import UUID

from apps.messages.base import Event
from apps.messages.topics import TRADING_EVENTS

# There is one switch an installation.
LIVE_SWITCH_ID = UUID(int=1)


class LiveTradingSwitched(
    Event, name="risk.live_trading.switched", topic=TRADING_EVENTS.name, aggregate="live_switch", key="switch_id"
):
    """An operator turned live trading on or off for the whole installation."""

    switch_id: UUID = LIVE_SWITCH_ID
    is_on: bool
    reason: str
    operator: str
    operator_id: UUID | None = None
    switched_at: datetime
