"""What a placement means for the run: nothing more, a pause of entries, or its end."""

from datetime import datetime, timedelta

import structlog

from apps.core.terms import Side
from apps.exchange.types import Rejected, RejectionKind
from apps.trading.models.runs import BotRun
from apps.trading.risk import HeldBack
from apps.trading.services.context.dependencies import Desk
from apps.trading.services.context.run_lease import RunLease
from apps.trading.services.orders.placement import Placement
from apps.trading.services.runs.events import run_fail, trade_skipped

log = structlog.get_logger(__name__)

# Going on with the run would repeat a call that must not be repeated, or one that cannot succeed.
ENDS_THE_RUN = frozenset(
    {RejectionKind.KEY_INVALID, RejectionKind.KEY_LOCKED, RejectionKind.PERMISSION, RejectionKind.BUG}
)
PAUSE_SECONDS = {
    RejectionKind.FINAL: 60,
    RejectionKind.BACK_OFF: 30,
    RejectionKind.MARKET_CLOSED: 60,
    RejectionKind.ACCOUNT_LIMIT: 300,
}


def placement_settle(placement: Placement, *, side: Side, lease: RunLease, desk: Desk) -> None:
    """Draws the consequence of how an order was answered."""
    rejection = placement.rejection
    now = desk.clock()
    if rejection is None:
        if placement.intent.txid:
            BotRun.objects.filter(id=lease.run_id, fence=lease.fence).update(skip_reason="")
        return
    log.warning(
        "order_rejected", cl_ord_id=placement.intent.cl_ord_id, kind=rejection.kind, answer=rejection.exchange_error
    )
    if rejection.kind in ENDS_THE_RUN:
        run_fail(lease=lease, code=rejection.code, message=rejection.message, now=now)
        return
    entries_hold(lease=lease, rejection=rejection, now=now)
    held = HeldBack(rejection.code, rejection.message)
    is_asked = placement.intent.command_id is not None
    trade_skipped(lease=lease, side=side, held=held, candle_at=placement.intent.candle_at, is_asked=is_asked, now=now)


def entries_hold(*, lease: RunLease, rejection: Rejected, now: datetime) -> None:
    """No purchase for a while: the same order would be refused again, and every refusal costs a part of the limit."""
    seconds = max(PAUSE_SECONDS[rejection.kind], rejection.retry_after_seconds or 0)
    BotRun.objects.filter(id=lease.run_id, fence=lease.fence).update(
        entries_held_until=now + timedelta(seconds=seconds)
    )
