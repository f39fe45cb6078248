"""Turns live trading on and off at run time."""

from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction

from apps.events.store.publish import publish
from apps.messages.live_trading import LiveTradingSwitched
from apps.risk.models.halts import PLATFORM_ID, HaltScope
from apps.risk.models.live_switch import THE_ONE, LiveSwitch
from apps.risk.services.locks import hold_alone

log = structlog.get_logger(__name__)

OFF_BY_DEFAULT = "Live trading is off until an operator turns it on."


@transaction.atomic
def live_switch_ensure(*, now: datetime) -> LiveSwitch:
    """The switch's row, made in its default, off, where there is none."""
    defaults = {"is_on": False, "reason": OFF_BY_DEFAULT, "changed_by": "platform", "changed_at": now}
    row, _ = LiveSwitch.objects.get_or_create(id=THE_ONE, defaults=defaults)
    return row


@transaction.atomic
def live_switch_set(*, is_on: bool, reason: str, operator: str, operator_id: UUID | None, now: datetime) -> LiveSwitch:
    """Turns live trading on or off and publishes `risk.live_trading.switched` with the reason and the operator.

    It waits for live orders that are being marked as sent: after the commit of an "off" no new live order is sent.
    """
    hold_alone(HaltScope.PLATFORM, PLATFORM_ID)
    live_switch_ensure(now=now)
    row = LiveSwitch.objects.select_for_update().get(id=THE_ONE)
    row.is_on, row.reason, row.changed_by, row.changed_at = is_on, reason, operator, now
    row.save()
    publish(
        LiveTradingSwitched(is_on=is_on, reason=reason, operator=operator, operator_id=operator_id, switched_at=now),
        now=now,
    )
    log.warning("live_trading_switched", is_on=is_on, operator=operator, reason=reason)
    return row
