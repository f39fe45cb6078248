"""Consequences of a placement's answer for the run: none, a pause of entries that grows, or its end."""

from datetime import datetime, timedelta

import structlog

from apps.core.money import plain
from apps.core.terms import Side
from apps.exchange.types import Rejected, RejectionKind
from apps.trading.limits import RiskRejection
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import Dependencies
from apps.trading.services.context.run_lease import RunLease
from apps.trading.services.orders.placement import Placement
from apps.trading.services.orders.shortages import is_shortage, shortage_note
from apps.trading.services.runs.events import run_alert, run_fail, trade_skipped
from apps.trading.services.runs.failures import lacks_permission

log = structlog.get_logger(__name__)

Kind = RejectionKind

# The first pause of entries; it doubles with every further refusal in a row.
PAUSE_SECONDS = {
    Kind.FINAL: 60,
    Kind.BACK_OFF: 30,
    Kind.MARKET_CLOSED: 60,
    Kind.ACCOUNT_LIMIT: 300,
    Kind.PERMISSION: 300,
    Kind.KEY_LOCKED: 300,
    Kind.BUG: 300,
}
LONGEST_PAUSE_SECONDS = 3600
# A person should look: the same order will not be accepted later without a change.
ALARMING = frozenset({Kind.BUG, Kind.PERMISSION, Kind.ACCOUNT_LIMIT, Kind.KEY_LOCKED})

NO_LIQUIDITY = "no_liquidity"
UNCLASSIFIED = "exchange_answer_unknown"


def placement_apply(placement: Placement, *, side: Side, lease: RunLease, deps: Dependencies) -> None:
    """Applies the consequence of the exchange's answer to an order."""
    rejection = placement.rejection
    now = deps.clock()
    if placement.unclassified:
        entries_hold(lease=lease, seconds=PAUSE_SECONDS[Kind.BUG], now=now)
        run_alert(lease=lease, code=UNCLASSIFIED, message=placement.unclassified, now=now)
        return
    if placement.over_budget is not None:
        _stop_calls(lease, seconds=placement.over_budget.retry_after_seconds, now=now)
        return
    if rejection is None:
        _accepted(placement.intent, lease, now=now)
        return
    log.warning(
        "order_rejected",
        client_order_id=placement.intent.cl_ord_id,
        kind=rejection.kind,
        answer=rejection.exchange_error,
    )
    if _proves_key_fault(rejection, deps):
        run_fail(lease=lease, code=rejection.code, message=rejection.message, now=now)
        return
    entries_hold(
        lease=lease, seconds=PAUSE_SECONDS[rejection.kind], at_least=rejection.retry_after_seconds or 0, now=now
    )
    if is_shortage(rejection, side):
        shortage_note(placement.intent.run, deps=deps)
    if rejection.kind is Kind.KEY_LOCKED:
        _stop_calls(lease, seconds=rejection.retry_after_seconds or LONGEST_PAUSE_SECONDS, now=now)
    trade_skipped(
        lease=lease,
        side=side,
        rejection=RiskRejection(rejection.code, rejection.message),
        candle_at=placement.intent.candle_at,
        is_asked=placement.intent.command_id is not None,
        is_alarming=rejection.kind in ALARMING,
        now=now,
    )


def _accepted(intent: OrderIntent, lease: RunLease, *, now: datetime) -> None:
    if not intent.txid:
        return
    run = BotRun.objects.filter(id=lease.run_id, fence=lease.fence)
    run.update(refusals=0)
    if intent.filled_volume > 0 or intent.kind == OrderKind.REST:
        run.update(skip_reason="")
    else:
        unfilled_tell(intent, lease=lease, now=now)


def unfilled_tell(intent: OrderIntent, *, lease: RunLease, now: datetime) -> None:
    """Publishes an order that was to take the market and ended unfilled like a skipped trade: once in a series."""
    has_ended_unfilled = intent.state in (IntentState.CANCELED, IntentState.EXPIRED) and intent.filled_volume == 0
    if intent.kind != OrderKind.TAKE or not has_ended_unfilled:
        return
    offered = "asked less" if intent.side == Side.BUY else "bid more"
    trade_skipped(
        lease=lease,
        side=Side(intent.side),
        rejection=RiskRejection(
            NO_LIQUIDITY, f"The order ended unfilled: nobody {offered} than its limit of {plain(intent.price)}."
        ),
        candle_at=intent.candle_at,
        is_asked=False,
        now=now,
    )


def _proves_key_fault(rejection: Rejected, deps: Dependencies) -> bool:
    if rejection.kind is Kind.PERMISSION:
        return lacks_permission(deps)
    return rejection.kind is Kind.KEY_INVALID


def entries_hold(*, lease: RunLease, seconds: int, at_least: int = 0, now: datetime) -> None:
    """Pauses purchases: the same order would be refused again, and every refusal counts against the rate limit.

    The pause doubles with every refusal in a row, up to an hour, and is never shorter than `at_least` seconds.
    """
    run = BotRun.objects.filter(id=lease.run_id, fence=lease.fence)
    refused_before = run.values_list("refusals", flat=True).first() or 0
    pause = max(at_least, min(LONGEST_PAUSE_SECONDS, seconds * 2 ** min(refused_before, 10)))
    run.update(entries_held_until=now + timedelta(seconds=pause), refusals=min(refused_before + 1, 100))


def _stop_calls(lease: RunLease, *, seconds: int, now: datetime) -> None:
    """Ticks no more for that long: each call with a locked key prolongs the lock."""
    BotRun.objects.filter(id=lease.run_id, fence=lease.fence).update(next_tick_at=now + timedelta(seconds=seconds))
