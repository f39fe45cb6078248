"""Events of a run other than its trades: trade skipped, trouble, failed, stopped."""

from datetime import datetime, timedelta
from typing import Any, Literal

import structlog
from django.db import transaction

from apps.core.errors import PlatformError
from apps.core.terms import Side
from apps.events.store.publish import publish
from apps.messages.bots import BotError, BotStopped
from apps.messages.trading import BotTradeLimited, BotTradeSkipped
from apps.trading.limits import RiskRejection
from apps.trading.models.exits import DueExit
from apps.trading.models.runs import BotRun, RunState
from apps.trading.selectors import orders_left
from apps.trading.services.context.run_lease import RunLease, run_get_for_update
from apps.trading.services.orders.allocations import budget_release
from apps.trading.services.runs.failures import pause_after

log = structlog.get_logger(__name__)

# An error that passes within this time is not reported to the user.
TROUBLE_PERSISTS_AFTER = timedelta(seconds=30)


@transaction.atomic
def trade_skipped(
    *,
    lease: RunLease,
    side: Side,
    rejection: RiskRejection,
    candle_at: datetime | None,
    is_asked: bool,
    now: datetime,
    is_alarming: bool = False,
) -> None:
    """Records that a rule rejected a trade. Publishes it where the reason is new or a user asked for the trade.

    A bot whose trades are rejected for the same reason candle after candle publishes it once. `is_alarming`: a person
    should look, so `bot.error` is published with it.
    """
    run = run_get_for_update(lease)
    reason = f"{side}:{rejection.code}"
    is_new = run.skip_reason != reason
    run.skip_reason = reason
    run.save(update_fields=["skip_reason"])
    if is_new and is_alarming:
        _alert(run, code=rejection.code, message=rejection.message, now=now)
    if is_new or is_asked:
        publish(_skipped_of(run, side, rejection, candle_at, now), now=now)


def _skipped_of(
    run: BotRun, side: Side, rejection: RiskRejection, candle_at: datetime | None, now: datetime
) -> BotTradeSkipped:
    facts: dict[str, Any] = {
        "bot_id": run.bot_id,
        "run_id": run.id,
        "user_id": run.user_id,
        "pair": run.pair,
        "side": side.value,
        "code": rejection.code,
        "message": rejection.message,
        "market_time": candle_at,
        "skipped_at": now,
    }
    figures = rejection.figures
    if figures is None:
        return BotTradeSkipped(**facts)
    return BotTradeLimited(**facts, limit=figures.limit, actual=figures.actual, unit=figures.unit)


@transaction.atomic
def run_trouble(*, lease: RunLease, error: PlatformError, now: datetime) -> None:
    """Records a failure after which the run goes on: it pauses, for longer the longer the failure lasts.

    Publishes `bot.error` once: at once where the failure is none of those that pass by themselves, which also bars
    purchases until a tick succeeds; otherwise where it persists.
    """
    run = run_get_for_update(lease)
    is_told = run.trouble_announced and (error.retryable or run.trouble_code == error.code)
    run.trouble_code = error.code
    run.trouble_since = min(run.trouble_since or now, now)
    lasted = now - run.trouble_since
    pause = pause_after(error, lasted=lasted)
    if not error.retryable:
        run.entries_held_until = max(run.entries_held_until or now, now + pause)
    log_it = log.warning
    if not is_told and (not error.retryable or lasted >= TROUBLE_PERSISTS_AFTER):
        run.trouble_announced = True
        publish(_error_of(run, code=error.code, message=error.message, is_final=False, now=now), now=now)
        log_it = log.error
    run.next_tick_at = max(run.next_tick_at, now + pause)
    run.save(update_fields=["trouble_code", "trouble_since", "trouble_announced", "entries_held_until", "next_tick_at"])
    log_it(
        "run_in_trouble",
        run_id=str(run.id),
        bot_id=str(run.bot_id),
        code=error.code,
        reason=error.message,
        pause_seconds=pause.total_seconds(),
    )


@transaction.atomic
def run_recovered(*, lease: RunLease) -> None:
    """Clears the recorded trouble."""
    BotRun.objects.filter(id=lease.run_id, fence=lease.fence, trouble_since__isnull=False).update(
        trouble_code="", trouble_since=None, trouble_announced=False
    )


@transaction.atomic
def run_alert(*, lease: RunLease, code: str, message: str, now: datetime) -> None:
    """Publishes `bot.error` where the code is another than the last reason that no order came about."""
    run = run_get_for_update(lease)
    if run.skip_reason == code:
        return
    run.skip_reason = code
    run.save(update_fields=["skip_reason"])
    _alert(run, code=code, message=message, now=now)


@transaction.atomic
def run_fail(*, lease: RunLease, code: str, message: str, now: datetime) -> None:
    """Ends the run with a final error. Its open orders stay open; the reconciler takes them over."""
    run = run_get_for_update(lease)
    if not RunState(run.state).is_live:
        return
    run_close(run, state=RunState.ERROR, now=now)
    publish(_error_of(run, code=code, message=message, is_final=True, now=now), now=now)
    publish(stopped_of(run, manner="error", reason=message, now=now), now=now)
    log.error("run_failed", run_id=str(run.id), bot_id=str(run.bot_id), code=code, reason=message)


def run_close(run: BotRun, *, state: RunState, now: datetime) -> None:
    """Saves the run as ended, and releases its cash. The caller holds its lock and publishes the event.

    An exit that is due ends with it.
    """
    DueExit.objects.filter(run=run).delete()
    run.state = state
    run.stopped_at = now
    run.save(update_fields=["state", "stopped_at"])
    budget_release(run, now=now)


def stopped_of(
    run: BotRun, *, manner: Literal["pause", "stop", "flatten", "error"], reason: str, now: datetime
) -> BotStopped:
    return BotStopped(
        bot_id=run.bot_id,
        user_id=run.user_id,
        run_id=run.id,
        command_id=run.stop_command_id,
        manner=manner,
        reason=reason,
        open_orders=tuple(orders_left(bot_id=run.bot_id)),
        stopped_at=now,
    )


def _alert(run: BotRun, *, code: str, message: str, now: datetime) -> None:
    publish(_error_of(run, code=code, message=message, is_final=False, now=now), now=now)
    log.error("run_alert", run_id=str(run.id), bot_id=str(run.bot_id), code=code, reason=message)


def _error_of(run: BotRun, *, code: str, message: str, is_final: bool, now: datetime) -> BotError:
    return BotError(
        bot_id=run.bot_id,
        user_id=run.user_id,
        run_id=run.id,
        code=code,
        message=message,
        is_final=is_final,
        failed_at=now,
    )
