"""The life of an order, one transaction for each step. What the exchange answered is stored with it as evidence."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction

from apps.core.money import plain
from apps.core.terms import Side
from apps.events.store.publish import publish
from apps.messages.bots import BotError
from apps.trading.errors import ContradictoryEvidence, LeaseLost, RunNotTrading
from apps.trading.ids import new_cl_ord_id
from apps.trading.models.ledger import Position
from apps.trading.models.order_states import ACTIVE_STATES, IntentState, is_legal
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.run_lease import LEASE, RunLease, run_get_for_update
from apps.trading.services.orders.positions import position_get_for_update, reservation_set

log = structlog.get_logger(__name__)

# How long the exchange may still accept the order: Kraken allows 2 s to 60 s. It bounds the doubt about a lost answer.
DEADLINE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class SizedOrder:
    """An order that has passed the rules: exact terms on the pair's grid."""

    side: str
    kind: OrderKind
    price: Decimal
    volume: Decimal
    reason: str
    decision_id: str
    candle_at: datetime | None = None
    command_id: UUID | None = None


@transaction.atomic
def intent_plan(*, lease: RunLease, order: SizedOrder, decides_candle: bool, now: datetime) -> OrderIntent | None:
    """Stores the order and reserves what it may take. None where this was decided before, or cannot be covered now.

    `decides_candle` says that with it the run has decided on the order's candle. Raises LeaseLost, RunNotTrading.
    """
    run = run_get_for_update(lease)
    _refuse_unless_trading(run, order.side)
    position = position_get_for_update(bot_id=run.bot_id, pair=run.pair)
    earlier = OrderIntent.objects.filter(decision_id=order.decision_id).order_by("-attempt").first()
    if earlier is not None and earlier.state != IntentState.NOT_PLACED:
        return None
    intent = OrderIntent(
        run=run,
        bot_id=run.bot_id,
        credential_id=run.credential_id,
        decision_id=order.decision_id,
        command_id=order.command_id,
        attempt=earlier.attempt + 1 if earlier else 1,
        cl_ord_id=new_cl_ord_id(run.bot_id),
        pair=run.pair,
        side=order.side,
        kind=order.kind,
        price=order.price,
        volume=order.volume,
        reason=order.reason,
        candle_at=order.candle_at,
        fence=lease.fence,
        planned_at=now,
        next_check_at=now + LEASE,
    )
    reservation_set(position, intent, now=now)
    if not _is_covered(run, position, side=order.side):
        return None
    position.save()
    intent.save(force_insert=True)
    if decides_candle:
        BotRun.objects.filter(id=run.id).update(decided_candle_at=order.candle_at)
    return intent


def _is_covered(run: BotRun, position: Position, *, side: str) -> bool:
    if side == Side.BUY:
        left: Decimal = run.definition.quote_budget - position.quote_spent - position.quote_reserved
    else:
        left = position.base_volume - position.base_reserved
    return left >= 0


@transaction.atomic
def intent_mark_sending(*, lease: RunLease, intent_id: UUID, now: datetime) -> OrderIntent:
    """From here on the order may have been sent. Commits before the first byte leaves.

    Raises LeaseLost, RunNotTrading.
    """
    run = run_get_for_update(lease)
    intent = _locked(intent_id)
    _refuse_unless_trading(run, intent.side)
    if intent.state != IntentState.PLANNED or intent.run_id != run.id:
        raise LeaseLost("This order is not this worker's to send.", intent_id=str(intent_id))
    intent.move_to(IntentState.SENDING)
    intent.fence = lease.fence
    intent.sent_at = now
    intent.deadline = now + DEADLINE
    intent.next_check_at = intent.deadline
    intent.save()
    return intent


@transaction.atomic
def intent_accepted(*, intent_id: UUID, txid: str, source: str, now: datetime) -> OrderIntent:
    """The exchange named its id for the order: it is placed, whatever was thought before.

    Raises ContradictoryEvidence where it was already held to be another order, or none.
    """
    intent = _locked(intent_id)
    if intent.txid == txid and intent.state != IntentState.NEEDS_HUMAN:
        return intent
    if intent.txid not in ("", txid) or not is_legal(intent.state, IntentState.OPEN):
        raise ContradictoryEvidence(
            f"The order {intent.cl_ord_id} is {intent.state}, yet the exchange says it placed {txid}.",
            cl_ord_id=intent.cl_ord_id,
            txid=txid,
        )
    intent.txid = txid
    intent.move_to(IntentState.OPEN)
    intent.next_check_at = now
    _testify(intent, now, source=source, txid=txid)
    intent.save()
    return intent


@transaction.atomic
def intent_end(
    *, intent_id: UUID, state: IntentState, code: str, evidence: dict[str, Any], now: datetime
) -> OrderIntent:
    """An order that never came to be: rejected by a definitive answer, or proved not placed. Frees what it kept back.

    Does nothing where the order has ended or was placed in the meantime.
    """
    run, position, intent = _locked_with_all_above(intent_id)
    if not intent.is_active or intent.txid:
        return intent
    intent.move_to(state)
    intent.state_code = code
    intent.ended_at = now
    intent.next_check_at = None
    _testify(intent, now, code=code, **evidence)
    reservation_set(position, intent, now=now)
    position.save()
    intent.save()
    if state == IntentState.NOT_PLACED and intent.candle_at == run.decided_candle_at:
        # The decision was not carried out: while its candle is the latest, it may be taken anew.
        run.decided_candle_at = None
        run.save(update_fields=["decided_candle_at"])
    return intent


@transaction.atomic
def intent_doubt(
    *, intent_id: UUID, code: str, evidence: dict[str, Any], now: datetime, next_check_at: datetime | None = None
) -> OrderIntent:
    """No answer tells what became of the order. It keeps its reservation; only evidence ends the doubt.

    Without a `next_check_at` it is looked for when its deadline has passed, by when it is placed or never will be.
    """
    intent = _locked(intent_id)
    if intent.state not in (IntentState.SENDING, IntentState.UNKNOWN):
        return intent
    if intent.state == IntentState.UNKNOWN:
        intent.checks += 1
    else:
        intent.move_to(IntentState.UNKNOWN)
    intent.state_code = code
    intent.next_check_at = next_check_at or intent.deadline
    _testify(intent, now, code=code, **evidence)
    intent.save()
    log.warning("order_outcome_unknown", cl_ord_id=intent.cl_ord_id, code=code, checks=intent.checks)
    return intent


@transaction.atomic
def intent_needs_human(*, intent_id: UUID, code: str, evidence: dict[str, Any], now: datetime) -> OrderIntent:
    """The evidence contradicts itself. The order keeps its reservation and blocks entries until a person decides.

    The user is told.
    """
    intent = _locked(intent_id)
    if not intent.is_active or intent.state == IntentState.NEEDS_HUMAN:
        return intent
    intent.move_to(IntentState.NEEDS_HUMAN)
    intent.state_code = code
    intent.next_check_at = None
    _testify(intent, now, code=code, **evidence)
    intent.save()
    _tell(
        intent,
        code="order_needs_human",
        message=f"What became of the order {intent.cl_ord_id} is not clear; until it is, the bot buys nothing.",
        now=now,
    )
    log.error("order_needs_a_person", cl_ord_id=intent.cl_ord_id, code=code)
    return intent


@transaction.atomic
def intent_contradicted(*, intent_id: UUID, txid: str, because: str, now: datetime) -> None:
    """The exchange placed an order that was proved not to have been. The proof was wrong: a person must look."""
    intent = _locked(intent_id)
    _testify(intent, now, code="contradicted", txid=txid, because=because)
    intent.save(update_fields=["evidence"])
    _tell(intent, code="contradictory_evidence", message=because, now=now)
    log.error("order_placed_against_proof", cl_ord_id=intent.cl_ord_id, txid=txid, because=because)


@transaction.atomic
def intent_mark_cancel_requested(*, intent_id: UUID, now: datetime) -> OrderIntent:
    """Wanted off the book. It stays so through doubt: found open later, the order is cancelled then."""
    intent = _locked(intent_id)
    if intent.is_active and intent.cancel_requested_at is None:
        intent.cancel_requested_at = now
        intent.save(update_fields=["cancel_requested_at"])
    return intent


def intent_poll_at(*, intent_id: UUID, next_check_at: datetime) -> OrderIntent:
    """When an order on the book is to be asked for next."""
    OrderIntent.objects.filter(id=intent_id, state__in=ACTIVE_STATES).update(next_check_at=next_check_at)
    return OrderIntent.objects.get(id=intent_id)


def intents_recover(*, lease: RunLease, now: datetime) -> None:
    """What a worker that died left behind: unsent orders are dropped, possibly sent ones become unknown.

    Only the holder of the lease may say so: nobody else is at the run now.
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
        intent_doubt(
            intent_id=intent.id,
            code="worker_lost",
            evidence={"because": "the worker that was sending it is gone"},
            now=now,
        )


def _refuse_unless_trading(run: BotRun, side: str) -> None:
    """A running bot may trade; one that is being flattened may only sell."""
    if run.state != RunState.RUNNING and not (run.state == RunState.FLATTENING and side == Side.SELL):
        raise RunNotTrading(f"The bot is {run.state}.", run_id=str(run.id))


def _locked(intent_id: UUID) -> OrderIntent:
    return OrderIntent.objects.select_for_update().get(id=intent_id)


def _locked_with_all_above(intent_id: UUID) -> tuple[BotRun, Position, OrderIntent]:
    run_id, bot_id, pair = OrderIntent.objects.values_list("run_id", "bot_id", "pair").get(id=intent_id)
    run = BotRun.objects.select_for_update().get(id=run_id)
    position = position_get_for_update(bot_id=bot_id, pair=pair)
    return run, position, _locked(intent_id)


def _tell(intent: OrderIntent, *, code: str, message: str, now: datetime) -> None:
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


def _testify(intent: OrderIntent, now: datetime, **facts: Any) -> None:
    said = {name: plain(fact) if isinstance(fact, Decimal) else fact for name, fact in facts.items()}
    intent.evidence = [*intent.evidence, {"at": now.isoformat(), **said}]
