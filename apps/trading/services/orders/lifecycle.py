"""The life of an order, one transaction a step. Every answer of the exchange is stored with it as evidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction

from apps.core.money import plain
from apps.core.terms import Mode, Side
from apps.events.store.publish import publish
from apps.messages.bots import BotError
from apps.trading.errors import ContradictoryEvidence, LeaseLost, OrderBarred, RunNotTrading
from apps.trading.ids import new_client_order_id
from apps.trading.limits import RiskRejection
from apps.trading.models.ledger import Position
from apps.trading.models.order_states import ACTIVE_STATES, IntentState, is_legal
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.run_lease import LEASE, RunLease, run_get_for_update
from apps.trading.services.orders.allocations import account_hold, position_follow
from apps.trading.services.orders.announcements import order_save
from apps.trading.services.orders.bars import cap_rejection, halts_hold, order_bar_of
from apps.trading.services.orders.due_exits import exit_covers
from apps.trading.services.orders.positions import position_get, position_get_for_update, reservation_set

log = structlog.get_logger(__name__)

# Until when the exchange may accept an order, counted from the commit that marks it as being sent. It bounds the doubt
# where the worker dies. The deadline that the exchange is given is set later, in the key's turn, and never exceeds this
# one: 10 s for the turn (lock_timeout of PostgreSQL) and the 5 s that an order is given then. Kraken takes up to 60 s.
LATEST_DEADLINE = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class DecidedOrder:
    """A sized order with the decision behind it: price in quote, volume in base, on the pair's grid.

    `is_exit`: an attempt at an exit that is due (`apps/trading/models/exits.py`).
    """

    side: str
    kind: OrderKind
    price: Decimal
    volume: Decimal
    reason: str
    decision_id: str
    candle_at: datetime | None = None
    command_id: UUID | None = None
    is_exit: bool = False


@transaction.atomic
def intent_plan(*, lease: RunLease, order: DecidedOrder, decides_candle: bool, now: datetime) -> OrderIntent | None:
    """Stores the order and reserves what it may take. None where it was decided before, or is not covered now.

    `decides_candle`: the run has thereby decided on the order's candle. Raises LeaseLost, RunNotTrading,
    OrderBarred.
    """
    run = run_get_for_update(lease)
    _refuse_unless_trading(run, order.side)
    position = position_get_for_update(bot_id=run.bot_id, credential_id=run.credential_id, pair=run.pair)
    earlier = OrderIntent.objects.filter(decision_id=order.decision_id).order_by("-attempt").first()
    if earlier is not None and not _may_follow(earlier, order):
        return None
    if order.is_exit and not exit_covers(run_id=run.id, decision_id=order.decision_id, volume=order.volume):
        return None
    intent = OrderIntent(
        run=run,
        bot_id=run.bot_id,
        credential_id=run.credential_id,
        decision_id=order.decision_id,
        command_id=order.command_id,
        attempt=earlier.attempt + 1 if earlier else 1,
        cl_ord_id=new_client_order_id(run.bot_id),
        pair=run.pair,
        side=order.side,
        kind=order.kind,
        price=order.price,
        volume=order.volume,
        reason=order.reason,
        candle_at=order.candle_at,
        is_exit=order.is_exit,
        fence=lease.fence,
        planned_at=now,
        next_check_at=now + LEASE,
    )
    reservation_set(position, intent, now=now)
    if not _is_covered(run, position, side=order.side):
        return None
    position.save()
    order_save(intent, now=now, force_insert=True)
    if decides_candle:
        BotRun.objects.filter(id=run.id).update(decided_candle_at=order.candle_at)
    return intent


def _may_follow(earlier: OrderIntent, order: DecidedOrder) -> bool:
    """Whether evidence allows another attempt: nothing was placed, or an attempt at the exit has ended."""
    return earlier.state == IntentState.NOT_PLACED or (order.is_exit and not earlier.is_active)


def _is_covered(run: BotRun, position: Position, *, side: str) -> bool:
    if side == Side.BUY:
        left: Decimal = run.definition.quote_budget - position.quote_spent - position.quote_reserved
    else:
        left = position.base_volume - position.base_reserved
    return left >= 0


@transaction.atomic
def intent_mark_sending(*, lease: RunLease, intent_id: UUID, now: datetime) -> OrderIntent:
    """From this commit on the order may have been sent; it is made before the first byte leaves. It renews the lease.

    No halt, stop, lower cap or "off" of the live switch that covers the bot is committed between its reading here and
    this commit. Raises LeaseLost, RunNotTrading, OrderBarred.
    """
    halts_hold(lease)
    run = run_get_for_update(lease)
    lease.renew(now=now)
    intent = _locked(intent_id)
    if intent.state != IntentState.PLANNED or intent.run_id != run.id:
        raise LeaseLost("This order is not this worker's to send.", intent_id=str(intent_id))
    _refuse_unless_trading(run, intent.side)
    _refuse_above_cap(run, intent, now=now)
    intent.move_to(IntentState.SENDING)
    intent.fence = lease.fence
    intent.sent_at = now
    intent.deadline = now + LATEST_DEADLINE
    intent.next_check_at = intent.deadline
    order_save(intent, now=now)
    return intent


@transaction.atomic
def intent_accepted(
    *,
    intent_id: UUID,
    exchange_order_id: str,
    source: str,
    now: datetime,
    evidence: Mapping[str, Any] | None = None,
) -> OrderIntent:
    """The exchange named its id for the order: it is placed.

    Raises ContradictoryEvidence where the order has another exchange order id, or has ended without being placed.
    """
    intent = _locked(intent_id)
    if intent.txid == exchange_order_id and intent.state != IntentState.NEEDS_HUMAN:
        return intent
    if intent.txid not in ("", exchange_order_id) or not is_legal(intent.state, IntentState.OPEN):
        raise ContradictoryEvidence(
            f"The order {intent.cl_ord_id} is {intent.state}, yet the exchange says it placed {exchange_order_id}.",
            client_order_id=intent.cl_ord_id,
            exchange_order_id=exchange_order_id,
        )
    intent.txid = exchange_order_id
    intent.move_to(IntentState.OPEN)
    intent.next_check_at = now
    _add_evidence(intent, now, source=source, txid=exchange_order_id, **(evidence or {}))
    order_save(intent, now=now)
    return intent


@transaction.atomic
def intent_end(
    *, intent_id: UUID, state: IntentState, code: str, evidence: dict[str, Any], now: datetime
) -> OrderIntent:
    """Ends an order that was never placed, as rejected or not_placed, and releases its reservation.

    Does nothing where the order has ended or was placed in the meantime.
    """
    run, position, intent = _locked_with_run_and_position(intent_id)
    if not intent.is_active or intent.txid:
        return intent
    intent.move_to(state)
    intent.state_code = code
    intent.ended_at = now
    intent.next_check_at = None
    _add_evidence(intent, now, code=code, **evidence)
    reservation_set(position, intent, now=now)
    position.save()
    account = account_hold(run)
    order_save(intent, now=now)
    position_follow(account, run, position)
    if state == IntentState.NOT_PLACED and intent.candle_at == run.decided_candle_at:
        # The decision was not carried out. While its candle is the latest one, it may be taken again.
        run.decided_candle_at = None
        run.save(update_fields=["decided_candle_at"])
    return intent


@transaction.atomic
def intent_mark_unknown(
    *,
    intent_id: UUID,
    code: str,
    evidence: dict[str, Any],
    now: datetime,
    deadline: datetime | None = None,
    next_check_at: datetime | None = None,
) -> OrderIntent:
    """Marks the outcome of the order as unknown. It keeps its reservation; only evidence ends the doubt.

    `deadline` is the one that the exchange was given, known only to the worker that sent the order. The default of
    `next_check_at` is the order's deadline: by then the order is placed or never will be.
    """
    intent = _locked(intent_id)
    if intent.state not in (IntentState.SENDING, IntentState.UNKNOWN):
        return intent
    if intent.state == IntentState.UNKNOWN:
        intent.checks += 1
    else:
        intent.move_to(IntentState.UNKNOWN)
    intent.state_code = code
    if deadline is not None and intent.deadline is not None:
        intent.deadline = min(intent.deadline, deadline)
    intent.next_check_at = next_check_at or intent.deadline
    _add_evidence(intent, now, code=code, **evidence)
    order_save(intent, now=now)
    log.warning("order_marked_unknown", client_order_id=intent.cl_ord_id, code=code, checks=intent.checks)
    return intent


@transaction.atomic
def intent_needs_human(*, intent_id: UUID, code: str, evidence: dict[str, Any], now: datetime) -> OrderIntent:
    """Marks the evidence as contradictory. The order keeps its reservation and blocks entries until manual resolution.

    Publishes `bot.error` to the user.
    """
    intent = _locked(intent_id)
    if not intent.is_active or intent.state == IntentState.NEEDS_HUMAN:
        return intent
    intent.move_to(IntentState.NEEDS_HUMAN)
    intent.state_code = code
    intent.next_check_at = None
    _add_evidence(intent, now, code=code, **evidence)
    order_save(intent, now=now)
    _notify_user(
        intent,
        code="order_needs_human",
        message=f"What became of the order {intent.cl_ord_id} is not clear; until it is, the bot buys nothing, and of "
        "its pair's assets the account's balances are only checked for what is missing.",
        now=now,
    )
    log.error("order_marked_needs_human", client_order_id=intent.cl_ord_id, code=code)
    return intent


@transaction.atomic
def intent_reopen(*, intent_id: UUID, evidence: dict[str, Any], now: datetime) -> OrderIntent:
    """Takes back the manual resolution of an order without fills, for a second person's entry in the same transaction.

    The order is active again and reserves what it may take. Raises IllegalTransition, IntegrityError where another
    order of the bot has taken its place.
    """
    run, position, intent = _locked_with_run_and_position(intent_id)
    if intent.state != IntentState.NEEDS_HUMAN:
        intent.move_to(IntentState.NEEDS_HUMAN)
    intent.txid = ""
    intent.state_code = "resolution_corrected"
    intent.ended_at = None
    intent.next_check_at = None
    _add_evidence(intent, now, code="resolution_corrected", **evidence)
    reservation_set(position, intent, now=now)
    position.save()
    account = account_hold(run)
    order_save(intent, now=now)
    position_follow(account, run, position)
    return intent


@transaction.atomic
def intent_mark_conflict(*, intent_id: UUID, exchange_order_id: str, because: str, now: datetime) -> None:
    """Records that the exchange placed an order which was proved not placed. Publishes `bot.error` to the user."""
    intent = _locked(intent_id)
    _add_evidence(intent, now, code="contradicted", txid=exchange_order_id, because=because)
    order_save(intent, now=now, update_fields=["evidence"])
    _notify_user(intent, code="contradictory_evidence", message=because, now=now)
    log.error(
        "order_marked_conflict",
        client_order_id=intent.cl_ord_id,
        exchange_order_id=exchange_order_id,
        because=because,
    )


@transaction.atomic
def intent_mark_cancel_requested(*, intent_id: UUID, now: datetime) -> OrderIntent:
    """Records the wish to cancel. It outlives an unknown outcome: an order found open later is cancelled then."""
    intent = _locked(intent_id)
    if intent.is_active and intent.cancel_requested_at is None:
        intent.cancel_requested_at = now
        intent.save(update_fields=["cancel_requested_at"])
    return intent


def intent_poll_at(*, intent_id: UUID, next_check_at: datetime) -> OrderIntent:
    """Sets when an active order is looked at next."""
    OrderIntent.objects.filter(id=intent_id, state__in=ACTIVE_STATES).update(next_check_at=next_check_at)
    return OrderIntent.objects.get(id=intent_id)


def intents_recover(*, lease: RunLease, now: datetime) -> None:
    """Crash recovery: planned orders of an earlier lease holder become not_placed, sending ones unknown.

    Only the current holder of the lease may do this: no other worker can be sending for the run.
    """
    left = OrderIntent.objects.filter(run_id=lease.run_id, fence__lt=lease.fence)
    for intent in left.filter(state=IntentState.PLANNED):
        intent_end(
            intent_id=intent.id,
            state=IntentState.NOT_PLACED,
            code="never_sent",
            evidence={"grade": "A", "because": "the order was stored and not marked as being sent"},
            now=now,
        )
    for intent in left.filter(state=IntentState.SENDING):
        intent_mark_unknown(
            intent_id=intent.id,
            code="worker_lost",
            evidence={"because": "the worker that was sending it is gone"},
            now=now,
        )


def _refuse_unless_trading(run: BotRun, side: str) -> None:
    """A running bot may trade, one that is being flattened may only sell; neither may what is barred."""
    if run.state != RunState.RUNNING and not (run.state == RunState.FLATTENING and side == Side.SELL):
        raise RunNotTrading(f"The bot is {run.state}.", run_id=str(run.id))
    if bar := order_bar_of(run, side):
        raise OrderBarred(RiskRejection(bar.code, bar.message), run_id=str(run.id))


def _refuse_above_cap(run: BotRun, intent: OrderIntent, *, now: datetime) -> None:
    """The caps were asked when the order was sized; one that was lowered since refuses it."""
    if intent.side != Side.BUY or run.mode == Mode.PAPER:
        return
    # The run's lock is held, and every change of the position takes it first.
    position = position_get(run)
    reserved = intent.reserved_quote
    rejection = cap_rejection(run, position, price=intent.price, volume=intent.volume, reserved=reserved, now=now)
    if rejection is not None:
        raise OrderBarred(rejection, run_id=str(run.id))


def _locked(intent_id: UUID) -> OrderIntent:
    return OrderIntent.objects.select_for_update(of=["self"]).select_related("run").get(id=intent_id)


def _locked_with_run_and_position(intent_id: UUID) -> tuple[BotRun, Position, OrderIntent]:
    found = OrderIntent.objects.only("run_id", "bot_id", "credential_id", "pair").get(id=intent_id)
    run = BotRun.objects.select_for_update().get(id=found.run_id)
    position = position_get_for_update(bot_id=found.bot_id, credential_id=found.credential_id, pair=found.pair)
    return run, position, _locked(intent_id)


def _notify_user(intent: OrderIntent, *, code: str, message: str, now: datetime) -> None:
    publish(
        BotError(
            bot_id=intent.bot_id,
            user_id=intent.run.user_id,
            run_id=intent.run_id,
            code=code,
            message=message,
            is_final=False,
            failed_at=now,
        ),
        now=now,
    )


def _add_evidence(intent: OrderIntent, now: datetime, **facts: Any) -> None:
    said = {name: plain(fact) if isinstance(fact, Decimal) else fact for name, fact in facts.items()}
    intent.evidence = [*intent.evidence, {"at": now.isoformat(), **said}]
