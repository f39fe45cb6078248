"""Stopping a bot: from the first commit on it sends no new order; open orders are cancelled and the end is proved.

A stop always ends. Orders whose end could not be proved in time are listed in `bot.stopped`; their cancel stays
requested, and the reconciler takes over.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction

from apps.core.errors import PlatformError
from apps.core.terms import Side
from apps.events.commands.delivery import CommandDropped, Delivery
from apps.events.store.publish import publish
from apps.events.store.selectors import command_execution_get
from apps.exchange.types import ZERO, RejectionKind
from apps.messages.bots import AbandonPosition, BotStopped, StopBot, StopDeletedBot
from apps.risk.services.switches import switch_get_for_update
from apps.strategies.base import OrderPlan
from apps.trading.errors import BotBusy, FlattenIncomplete, FlattenRefused, LeaseLost
from apps.trading.limits import RiskRejection
from apps.trading.models.ledger import ReleaseReason
from apps.trading.models.order_states import ACTIVE_STATES, IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import LIVE_RUNS, BotRun, RunState
from apps.trading.risk import assess
from apps.trading.selectors import orders_left
from apps.trading.services.context.dependencies import Accounts, Dependencies, ExecutionContext
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.context.patience import Patience
from apps.trading.services.context.run_lease import RunLease, run_get_for_update, run_lease_wait
from apps.trading.services.orders.lifecycle import intent_mark_cancel_requested, intent_plan, intents_recover
from apps.trading.services.orders.placement import order_cancel, order_place, orders_sync
from apps.trading.services.orders.positions import position_get
from apps.trading.services.orders.receipts import stop_result
from apps.trading.services.orders.releases import positions_release
from apps.trading.services.orders.shortages import INSUFFICIENT_FUNDS, is_shortage, shortage_note
from apps.trading.services.orders.unknown_outcome import intent_resolve
from apps.trading.services.runs.decisions import decided_order, exposure_of
from apps.trading.services.runs.events import run_close, stopped_of

log = structlog.get_logger(__name__)

STATE_OF = {"pause": RunState.PAUSING, "stop": RunState.STOPPING, "flatten": RunState.FLATTENING}
REASON_OF = {"pause": "Paused.", "stop": "Stopped.", "flatten": "Sold and stopped."}

# How long to wait for proof that the orders have ended, and how often to ask.
PROOF_WITHIN = timedelta(seconds=12)
LOOK_EVERY_SECONDS = 0.5
FLATTEN_ROUNDS = 5

# Refusals of a sale that a later attempt may get past.
PASSING_REFUSALS = frozenset({RejectionKind.BACK_OFF.value, RejectionKind.MARKET_CLOSED.value})


def run_stop(*, command: StopBot, delivery: Delivery, context: ExecutionContext = LIVE_CONTEXT) -> None:
    """Ends the bot's run as the command's manner says (pause, stop, flatten), and completes the command.

    Raises CommandDropped where the bot was started since, BotBusy, and, while attempts are left, the error that kept
    the position from being sold.
    """
    run, found_active = _begin(command, delivery, now=context.clock())
    if run is None:
        return
    with run_lease_wait(run_id=run.id, context=context) as lease:
        trouble = _wind_up(command, run, lease, context)
        if command.manner == "flatten" and trouble is not None and trouble.retryable and not delivery.is_last_attempt:
            raise trouble
        _end(command, delivery, lease, trouble, found_active, now=context.clock())


@transaction.atomic
def _begin(command: StopBot, delivery: Delivery, *, now: datetime) -> tuple[BotRun | None, list[UUID]]:
    """From this commit on the run sends no new order. Returns None where there was nothing to stop.

    The ids are of the bot's orders that have not ended.
    """
    switch = switch_get_for_update(command.bot_id)
    switch.stop_requested_at = max(switch.stop_requested_at or command.requested_at, command.requested_at)
    if isinstance(command, StopDeletedBot):
        switch.deleted_at = switch.deleted_at or command.deleted_at
    switch.save()
    run = _run_to_stop(command)
    if run is None:
        _release(command, now=now)
        _announce_nothing_to_stop(command, delivery, now=now)
        return None, []
    if run.user_id != command.user_id:
        raise CommandDropped("the bot is another user's")
    if run.requested_at > command.requested_at and not isinstance(command, StopDeletedBot):
        raise CommandDropped("superseded: the bot was started again after this stop was asked for")
    if run.stop_command_id not in (None, command.command_id) and RunState(run.state).is_live and _is_under_way(run):
        raise BotBusy("The bot is being stopped already.", bot_id=str(run.bot_id))
    run.state = STATE_OF[command.manner]
    run.stopped_at = None
    run.stop_command_id = command.command_id
    run.save(update_fields=["state", "stopped_at", "stop_command_id"])
    active = OrderIntent.objects.filter(bot_id=command.bot_id, state__in=ACTIVE_STATES)
    return run, list(active.values_list("id", flat=True))


def _run_to_stop(command: StopBot) -> BotRun | None:
    """The live run. Of a bot that is not running and has something to end all the same: its last run.

    That is an open order, as a pause leaves it, unless this is a pause; and for a flatten a position.
    """
    runs = BotRun.objects.select_for_update().filter(bot_id=command.bot_id)
    live = runs.filter(state__in=LIVE_RUNS).first()
    if live is not None or command.manner == "pause":
        return live
    last = runs.order_by("-started_at").first()
    if last is None:
        return None
    holds = command.manner == "flatten" and position_get(last).base_volume > 0
    return last if holds or _active(last) else None


def _is_under_way(run: BotRun) -> bool:
    assert run.stop_command_id is not None
    execution = command_execution_get(command_id=run.stop_command_id)
    return execution is not None and execution.state in ("running", "retrying")


def _announce_nothing_to_stop(command: StopBot, delivery: Delivery, *, now: datetime) -> None:
    # Before the event: publishing takes the lock of the bot's stream, which steps of orders take after theirs.
    result = _result(command, left_volume=ZERO, trouble=None)
    publish(
        BotStopped(
            bot_id=command.bot_id,
            user_id=command.user_id,
            command_id=command.command_id,
            manner=command.manner,
            reason="The bot was not running.",
            open_orders=tuple(orders_left(bot_id=command.bot_id)),
            stopped_at=now,
        ),
        now=now,
    )
    delivery.complete(now=now, result=result)


def _wind_up(command: StopBot, run: BotRun, lease: RunLease, context: ExecutionContext) -> PlatformError | None:
    """Cancels orders and sells, as the manner says. Returns the error that kept it from completing, if any."""
    intents_recover(lease=lease, now=context.clock())
    if command.manner == "pause":
        return None
    for intent in _active(run):
        intent_mark_cancel_requested(intent_id=intent.id, now=context.clock())
    try:
        accounts = Accounts(context)
        deps = accounts.of(run)
        _cancel_all(run, lease, accounts)
        if command.manner == "flatten":
            _sell_all(run, lease, deps)
    except LeaseLost:
        raise
    except PlatformError as error:
        log.warning("stop_incomplete", run_id=str(run.id), code=error.code, reason=error.message)
        return error
    return None


def _cancel_all(run: BotRun, lease: RunLease, accounts: Accounts) -> None:
    """Cancels the bot's orders, also of earlier runs, each on its own account, and waits for proof.

    Raises what the exchange's reads raise.
    """
    deps = accounts.of(run)
    patience = Patience(deps.clock, PROOF_WITHIN)
    for intent in _active(run):
        order_cancel(intent, deps=accounts.of(intent.run))
    while (left := _active(run)) and not patience.is_over():
        deps.sleep(LOOK_EVERY_SECONDS)
        lease.renew(now=deps.clock())
        for intent in left:
            if intent.is_resting:
                orders_sync([intent], deps=accounts.of(intent.run))
            elif intent.state == IntentState.UNKNOWN:
                intent_resolve(intent, deps=accounts.of(intent.run))


def _sell_all(run: BotRun, lease: RunLease, deps: Dependencies) -> None:
    """Sells the position in up to FLATTEN_ROUNDS orders. Raises FlattenIncomplete and what exchange reads raise."""
    instrument = deps.market.instrument(run.pair).value
    for _ in range(FLATTEN_ROUNDS):
        lease.renew(now=deps.clock())
        number = OrderIntent.objects.filter(run=run).count()
        plan = OrderPlan(side=Side.SELL, reason="the bot is to hold nothing", level=number)
        sized = assess(
            plan,
            exposure=exposure_of(run, position_get(run), now=deps.clock()),
            instrument=instrument,
            ticker=deps.market.ticker(run.pair).value,
        )
        _refuse_again(run, volume=ZERO if isinstance(sized, RiskRejection) else sized.volume)
        if isinstance(sized, RiskRejection):
            if sized.code in ("nothing_to_sell", "below_minimum"):
                return
            raise FlattenIncomplete(sized.message, rule=sized.code)
        order = decided_order(plan, sized, run, candle_at=None, command_id=run.stop_command_id)
        intent = intent_plan(lease=lease, order=order, decides_candle=False, now=deps.clock())
        if intent is None:
            raise FlattenIncomplete("The position changed while it was being sold.", rule="position_changed")
        placement = order_place(lease=lease, intent_id=intent.id, deps=deps)
        if placement.rejection is not None:
            if is_shortage(placement.rejection, Side.SELL) and shortage_note(run, deps=deps):
                continue
            _refuse_again(run, volume=intent.volume)
            raise FlattenIncomplete(placement.rejection.message, rule=placement.rejection.code)
        if placement.intent.is_active or placement.intent.state == IntentState.NOT_PLACED:
            raise FlattenIncomplete("It is not known yet what became of the sale.", rule="outcome_unknown")
    raise FlattenIncomplete("The market takes too little at once.", rule="thin_market")


def _refuse_again(run: BotRun, *, volume: Decimal) -> None:
    """Raises FlattenRefused where the exchange has refused a sale of this stop and would refuse it again.

    One that was refused for want of coins says nothing of a smaller one, of `volume`.
    """
    refused = OrderIntent.objects.filter(command_id=run.stop_command_id, state=IntentState.REJECTED)
    for intent in refused.order_by("-planned_at"):
        answer = intent.evidence[-1]
        if intent.state_code == INSUFFICIENT_FUNDS and volume < intent.volume:
            continue
        if answer.get("kind") not in PASSING_REFUSALS:
            raise FlattenRefused(str(answer.get("message", "The exchange refused the sale.")), rule=intent.state_code)


@transaction.atomic
def _end(
    command: StopBot,
    delivery: Delivery,
    lease: RunLease,
    trouble: PlatformError | None,
    found_active: Collection[UUID],
    *,
    now: datetime,
) -> None:
    run = run_get_for_update(lease)
    _release(command, now=now)
    run_close(run, state=RunState.STOPPED, now=now)
    is_unsold = command.manner == "flatten" and trouble is not None
    left_volume = position_get(run).base_volume if is_unsold else ZERO
    result = _result(command, left_volume=left_volume, trouble=trouble, found_active=found_active)
    reason = REASON_OF[command.manner]
    if result["outcome"] == "incomplete":
        reason = f"Stopped; not all could be done: {result['message']}"
    publish(stopped_of(run, manner=command.manner, reason=reason, now=now), now=now)
    delivery.complete(now=now, result=result)
    log.info("run_stopped", run_id=str(run.id), bot_id=str(run.bot_id), manner=command.manner)


def _result(
    command: StopBot, *, left_volume: Decimal, trouble: PlatformError | None, found_active: Collection[UUID] = ()
) -> dict[str, Any]:
    rule = str(trouble.details.get("rule") or trouble.code) if trouble else ""
    return stop_result(
        bot_id=command.bot_id,
        command_id=command.command_id,
        requested_at=command.requested_at,
        cancels=command.manner != "pause",
        found_active=found_active,
        left_volume=left_volume,
        code=rule,
        message=trouble.message if trouble else "",
    )


def _release(command: StopBot, *, now: datetime) -> None:
    """Gives up the coins of a bot that was deleted, or whose owner gives them up.

    A deletion that was allowed because the bot was thought to hold nothing does the same: no coins stay with a bot
    that takes no command. Raises CommandDropped.
    """
    if isinstance(command, StopDeletedBot):
        reason = ReleaseReason.BOT_DELETED
    elif isinstance(command, AbandonPosition):
        reason = ReleaseReason(command.reason)
    else:
        return
    if BotRun.objects.filter(bot_id=command.bot_id).exclude(user_id=command.user_id).exists():
        raise CommandDropped("the bot is another user's")
    positions_release(
        bot_id=command.bot_id, user_id=command.user_id, reason=reason, command_id=command.command_id, now=now
    )


def _active(run: BotRun) -> list[OrderIntent]:
    active = OrderIntent.objects.filter(bot_id=run.bot_id, state__in=ACTIVE_STATES).exclude(state=IntentState.PLANNED)
    return list(active.select_related("run").order_by("planned_at"))
