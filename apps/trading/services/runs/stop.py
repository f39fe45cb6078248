"""Stopping a bot: nothing new is sent from the first moment on; what is on the book is taken off and proved gone.

A stop always ends. What could not be proved in time is named in the announcement, keeps its wish to be cancelled, and
is looked after by the reconciler.
"""

from datetime import datetime, timedelta

import structlog
from django.db import transaction

from apps.core.errors import PlatformError
from apps.core.terms import Side
from apps.events.commands.delivery import CommandDropped, Delivery
from apps.events.store.publish import publish
from apps.events.store.selectors import command_execution_get
from apps.messages.bots import BotStopped, StopBot, StopDeletedBot
from apps.strategies.base import OrderPlan
from apps.trading.errors import BotBusy, FlattenIncomplete, LeaseLost
from apps.trading.models import ACTIVE_STATES, BotRun, IntentState, OrderIntent, Position, RunState
from apps.trading.models.runs import LIVE_RUNS
from apps.trading.risk import HeldBack, assess
from apps.trading.selectors import orders_left
from apps.trading.services.context.dependencies import Desk, Outside
from apps.trading.services.context.live import LIVE
from apps.trading.services.context.run_lease import RunLease, run_get_for_update, run_lease_wait
from apps.trading.services.orders.lifecycle import intent_mark_cancel_requested, intent_plan, intents_recover
from apps.trading.services.orders.placement import order_cancel, order_place, orders_sync
from apps.trading.services.orders.unknown_outcome import intent_resolve
from apps.trading.services.runs.decisions import sized, standing_of
from apps.trading.services.runs.events import run_close, stopped_of
from apps.trading.services.runs.start import switch_get_for_update

log = structlog.get_logger(__name__)

STATE_OF = {"pause": RunState.PAUSING, "stop": RunState.STOPPING, "flatten": RunState.FLATTENING}
REASON_OF = {"pause": "Paused.", "stop": "Stopped.", "flatten": "Sold and stopped."}

# How long to wait for proof that the orders are off the book, and how often to ask.
PROOF_WITHIN = timedelta(seconds=12)
LOOK_EVERY_SECONDS = 0.5
FLATTEN_ROUNDS = 5


def run_stop(*, command: StopBot, delivery: Delivery, outside: Outside = LIVE) -> None:
    """Ends the bot's run in the manner asked for, and the command with it.

    Raises CommandDropped where the bot was started since, BotBusy, and, while attempts are left, whatever kept the
    position from being sold.
    """
    run = _begin(command, delivery, now=outside.clock())
    if run is None:
        return
    with run_lease_wait(run_id=run.id, outside=outside) as lease:
        trouble = _wind_up(command, run, lease, outside)
        if command.manner == "flatten" and trouble is not None and trouble.retryable and not delivery.is_last_attempt:
            raise trouble
        reason = REASON_OF[command.manner] if trouble is None else f"Stopped; not all could be done: {trouble.message}"
        _end(command, delivery, lease, reason, now=outside.clock())


@transaction.atomic
def _begin(command: StopBot, delivery: Delivery, *, now: datetime) -> BotRun | None:
    """From this commit on the run sends nothing new. None where there was nothing to stop."""
    switch = switch_get_for_update(command.bot_id)
    switch.stop_requested_at = max(switch.stop_requested_at or command.requested_at, command.requested_at)
    if isinstance(command, StopDeletedBot):
        switch.deleted_at = switch.deleted_at or command.deleted_at
    switch.save()
    run = _run_to_stop(command)
    if run is None:
        _announce_nothing_to_stop(command, delivery, now=now)
        return None
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
    return run


def _run_to_stop(command: StopBot) -> BotRun | None:
    """The live run; to sell what a stopped bot still holds, its last one."""
    runs = BotRun.objects.select_for_update().filter(bot_id=command.bot_id)
    live = runs.filter(state__in=LIVE_RUNS).first()
    if live is not None or command.manner != "flatten":
        return live
    last = runs.order_by("-started_at").first()
    holds = last is not None and Position.objects.filter(bot_id=last.bot_id, pair=last.pair, base_volume__gt=0).exists()
    return last if holds else None


def _is_under_way(run: BotRun) -> bool:
    assert run.stop_command_id is not None
    execution = command_execution_get(command_id=run.stop_command_id)
    return execution is not None and execution.state in ("running", "retrying")


def _announce_nothing_to_stop(command: StopBot, delivery: Delivery, *, now: datetime) -> None:
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
    delivery.complete(now=now)


def _wind_up(command: StopBot, run: BotRun, lease: RunLease, outside: Outside) -> PlatformError | None:
    """Takes orders off the book and sells, as the manner says. What went wrong, if anything."""
    intents_recover(lease=lease, now=outside.clock())
    if command.manner == "pause":
        return None
    for intent in _active(run):
        intent_mark_cancel_requested(intent_id=intent.id, now=outside.clock())
    try:
        desk = outside.desk(run)
        _clear_book(run, lease, desk)
        if command.manner == "flatten":
            _sell_all(run, lease, desk)
    except LeaseLost:
        raise
    except PlatformError as error:
        log.warning("stop_incomplete", run_id=str(run.id), code=error.code, reason=error.message)
        return error
    return None


def _clear_book(run: BotRun, lease: RunLease, desk: Desk) -> None:
    """Cancels the bot's orders, of earlier runs too, and waits a while for the proof. Raises what reads raise."""
    give_up_at = desk.clock() + PROOF_WITHIN
    for intent in _active(run):
        order_cancel(intent, desk=desk)
    while (left := _active(run)) and desk.clock() < give_up_at:
        desk.sleep(LOOK_EVERY_SECONDS)
        lease.renew(now=desk.clock())
        orders_sync([intent for intent in left if intent.is_resting], desk=desk)
        for intent in left:
            if intent.state == IntentState.UNKNOWN:
                intent_resolve(intent, desk=desk)


def _sell_all(run: BotRun, lease: RunLease, desk: Desk) -> None:
    """Sells what the bot holds, in as many orders as it takes. Raises FlattenIncomplete, and what reads raise."""
    instrument = desk.exchange.instrument(run.pair)
    for _ in range(FLATTEN_ROUNDS):
        lease.renew(now=desk.clock())
        number = OrderIntent.objects.filter(run=run).count()
        plan = OrderPlan(side=Side.SELL, reason="the bot is to hold nothing", level=number)
        terms = assess(
            plan,
            standing=standing_of(run, now=desk.clock()),
            instrument=instrument,
            ticker=desk.exchange.ticker(run.pair),
        )
        if isinstance(terms, HeldBack):
            if terms.code in ("nothing_to_sell", "below_minimum"):
                return
            raise FlattenIncomplete(terms.message, rule=terms.code)
        order = sized(plan, terms, run, candle_at=None, command_id=run.stop_command_id)
        intent = intent_plan(lease=lease, order=order, decides_candle=False, now=desk.clock())
        if intent is None:
            raise FlattenIncomplete("The position changed while it was being sold.", rule="position_changed")
        placement = order_place(lease=lease, intent_id=intent.id, desk=desk)
        if placement.rejection is not None:
            raise FlattenIncomplete(placement.rejection.message, rule=placement.rejection.code)
        if placement.intent.is_active or placement.intent.state == IntentState.NOT_PLACED:
            raise FlattenIncomplete("It is not known yet what became of the sale.", rule="outcome_unknown")
    raise FlattenIncomplete("The market takes too little at once.", rule="thin_market")


@transaction.atomic
def _end(command: StopBot, delivery: Delivery, lease: RunLease, reason: str, *, now: datetime) -> None:
    run = run_get_for_update(lease)
    run_close(run, state=RunState.STOPPED, now=now)
    publish(stopped_of(run, manner=command.manner, reason=reason, now=now), now=now)
    delivery.complete(now=now)
    log.info("run_stopped", run_id=str(run.id), bot_id=str(run.bot_id), manner=command.manner)


def _active(run: BotRun) -> list[OrderIntent]:
    active = OrderIntent.objects.filter(bot_id=run.bot_id, state__in=ACTIVE_STATES).exclude(state=IntentState.PLANNED)
    return list(active.order_by("planned_at"))
