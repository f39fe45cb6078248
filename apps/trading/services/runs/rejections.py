"""Consequences of a placement's answer for the run: none, a pause of entries, or its end."""

from datetime import datetime, timedelta

import structlog

from apps.core.terms import Side
from apps.exchange.types import Rejected, RejectionKind
from apps.trading.models.runs import BotRun
from apps.trading.risk import RiskRejection
from apps.trading.services.context.dependencies import Dependencies
from apps.trading.services.context.run_lease import RunLease
from apps.trading.services.orders.placement import Placement
from apps.trading.services.runs.events import run_fail, trade_skipped

log = structlog.get_logger(__name__)

# To continue the run would repeat a call that must not be repeated, or one that cannot succeed.
ENDS_THE_RUN = frozenset(
    {RejectionKind.KEY_INVALID, RejectionKind.KEY_LOCKED, RejectionKind.PERMISSION, RejectionKind.BUG}
)
PAUSE_SECONDS = {
    RejectionKind.FINAL: 60,
    RejectionKind.BACK_OFF: 30,
    RejectionKind.MARKET_CLOSED: 60,
    RejectionKind.ACCOUNT_LIMIT: 300,
}


def placement_apply(placement: Placement, *, side: Side, lease: RunLease, deps: Dependencies) -> None:
    """Applies the consequence of the exchange's answer to an order."""
    rejection = placement.rejection
    now = deps.clock()
    if rejection is None:
        if placement.intent.txid:
            BotRun.objects.filter(id=lease.run_id, fence=lease.fence).update(skip_reason="")
        return
    log.warning(
        "order_rejected",
        client_order_id=placement.intent.cl_ord_id,
        kind=rejection.kind,
        answer=rejection.exchange_error,
    )
    if rejection.kind in ENDS_THE_RUN:
        run_fail(lease=lease, code=rejection.code, message=rejection.message, now=now)
        return
    entries_hold(lease=lease, rejection=rejection, now=now)
    skipped = RiskRejection(rejection.code, rejection.message)
    is_asked = placement.intent.command_id is not None
    trade_skipped(
        lease=lease, side=side, rejection=skipped, candle_at=placement.intent.candle_at, is_asked=is_asked, now=now
    )


def entries_hold(*, lease: RunLease, rejection: Rejected, now: datetime) -> None:
    """Pauses purchases: the same order would be refused again, and every refusal counts against the rate limit."""
    seconds = max(PAUSE_SECONDS[rejection.kind], rejection.retry_after_seconds or 0)
    BotRun.objects.filter(id=lease.run_id, fence=lease.fence).update(
        entries_held_until=now + timedelta(seconds=seconds)
    )
