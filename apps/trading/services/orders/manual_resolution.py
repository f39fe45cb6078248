"""Manual resolution: a person's entry about an order, checked at the exchange before it is applied.

An entry is stored first (`OrderResolution`) and never deleted; its result is stored with it. A wrong entry is corrected
by the entry of another person, while nothing was booked from it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

import structlog
from django.db import IntegrityError, transaction

from apps.core.errors import Conflict, NotFound, PlatformError
from apps.core.money import plain
from apps.events.store.publish import dispatch
from apps.messages.bots import ResolveOrder
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.resolutions import OrderResolution
from apps.trading.models.staff_entries import EntryState
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.orders.exchange_proof import prove_absent, prove_placed
from apps.trading.services.orders.lifecycle import intent_accepted, intent_end, intent_reopen
from apps.trading.services.orders.staff_entries import (
    EXPIRES_AFTER,
    Operator,
    SecondPersonNeeded,
    entry_create,
    entry_finish,
    refuse_without_reason,
)

log = structlog.get_logger(__name__)


class OrderNotInDoubt(Conflict):
    """The order does not wait for manual resolution, or the resolution contradicts what the exchange said."""

    code = "order_not_in_doubt"


class FillsBooked(Conflict):
    """Fills are booked from the order that the entry named; booked fills are not taken back."""

    code = "fills_booked"


class ResolutionPending(Conflict):
    """Another entry about the order waits for the exchange's answer."""

    code = "resolution_pending"


class OrderInTheWay(Conflict):
    """Another order of the bot has taken the place of the one to be reopened, or has the same exchange order id."""

    code = "order_in_the_way"


def order_resolve(
    *,
    client_order_id: str,
    exchange_order_id: str | None,
    operator: Operator,
    because: str,
    context: ExecutionContext = LIVE_CONTEXT,
) -> OrderIntent:
    """Enters and applies at once, where the process has the vault key: placed as that id, or, where None, never placed.

    Raises what `resolution_enter` and `resolution_carry_out` raise; why an entry was refused is stored with it.
    """
    resolution = resolution_enter(
        order=order_to_resolve(client_order_id),
        exchange_order_id=exchange_order_id or "",
        operator=operator,
        because=because,
        now=context.clock(),
    )
    try:
        return resolution_apply(resolution, context=context)
    except PlatformError as error:
        _refuse(resolution, error, now=context.clock())
        raise


def order_to_resolve(client_order_id: str) -> OrderIntent:
    """Raises NotFound."""
    order = OrderIntent.objects.select_related("run").filter(cl_ord_id=client_order_id).first()
    if order is None:
        raise NotFound(f"There is no order {client_order_id}.")
    return order


@transaction.atomic
def resolution_request(
    *, order: OrderIntent, exchange_order_id: str, operator: Operator, because: str, now: datetime
) -> OrderResolution:
    """Stores an entry and sends it to the bot service, which has the keys to ask the exchange. Raises as the next."""
    resolution = resolution_enter(
        order=order, exchange_order_id=exchange_order_id, operator=operator, because=because, now=now
    )
    dispatch(
        ResolveOrder(
            command_id=resolution.id,
            bot_id=order.bot_id,
            user_id=order.run.user_id,
            order_id=order.id,
            placed_as=exchange_order_id,
            operator=operator.name,
            because=because,
            requested_at=now,
            expires_at=now + EXPIRES_AFTER,
        ),
        now=now,
    )
    return resolution


@transaction.atomic
def resolution_enter(
    *, order: OrderIntent, exchange_order_id: str, operator: Operator, because: str, now: datetime
) -> OrderResolution:
    """Stores an entry. Raises OrderNotInDoubt, SecondPersonNeeded, FillsBooked, ResolutionPending, ReasonMissing."""
    refuse_without_reason(because)
    waiting = OrderResolution.objects.filter(order=order, state=EntryState.REQUESTED)
    # Of one that was never begun the command has expired.
    for lost in waiting.filter(requested_at__lt=now - 2 * EXPIRES_AFTER):
        resolution_refuse(
            resolution_id=lost.id, code="expired", message="It was not carried out in time.", details={}, now=now
        )
    order = OrderIntent.objects.select_for_update(of=["self"]).select_related("run").get(id=order.id)
    if waiting.exists():
        raise ResolutionPending(
            f"An entry about {order.cl_ord_id} waits for the exchange's answer. Wait for its result."
        )
    corrects = _entry_to_correct(order, exchange_order_id)
    if corrects is not None and corrects.operator_id == operator.id:
        raise SecondPersonNeeded(
            f"You entered that {order.cl_ord_id} was {corrects.outcome}. Another person has to correct it.",
            entered_by=corrects.operator,
        )
    return entry_create(
        OrderResolution,
        operator=operator,
        because=because,
        corrects=corrects,
        now=now,
        order=order,
        exchange_order_id=exchange_order_id,
    )


def resolution_carry_out(*, resolution_id: UUID, context: ExecutionContext = LIVE_CONTEXT) -> OrderResolution:
    """Carries out a requested entry, and stores a refusal as its result. Repeatable: a finished one stays as it is.

    Raises what can pass: an exchange that does not answer.
    """
    resolution = OrderResolution.objects.get(id=resolution_id)
    if resolution.state != EntryState.REQUESTED:
        return resolution
    try:
        resolution_apply(resolution, context=context)
    except PlatformError as error:
        if error.retryable:
            raise
        _refuse(resolution, error, now=context.clock())
    resolution.refresh_from_db()
    return resolution


def resolution_apply(resolution: OrderResolution, *, context: ExecutionContext) -> OrderIntent:
    """Asks the exchange, outside any transaction, and applies the entry where it is not contradicted.

    Raises OrderNotInDoubt, FillsBooked, OrderInTheWay, and what `exchange_proof` and opening the key raise.
    """
    order = OrderIntent.objects.select_related("run").get(id=resolution.order_id)
    deps = context.deps(order.run)
    if resolution.exchange_order_id:
        found: Mapping[str, Any] = {"exchange": prove_placed(order, resolution.exchange_order_id, deps=deps)}
    else:
        found = prove_absent(order, deps=deps)
    try:
        return _apply(resolution.id, found, now=deps.clock())
    except IntegrityError as error:
        raise OrderInTheWay(
            f"Another order has taken the place of {order.cl_ord_id}, or has this exchange order id. Wait until the "
            "bot's other order on that side has ended, and look again.",
            constraint=str(error).splitlines()[0],
        ) from error


@transaction.atomic
def _apply(resolution_id: UUID, found: Mapping[str, Any], *, now: datetime) -> OrderIntent:
    resolution = OrderResolution.objects.select_for_update().get(id=resolution_id)
    order = OrderIntent.objects.get(id=resolution.order_id)
    if resolution.state != EntryState.REQUESTED:
        return order
    entry = {"operator": resolution.operator, "because": resolution.because, "resolution": str(resolution.id)}
    if resolution.corrects is not None:
        intent_reopen(
            intent_id=order.id, evidence={**entry, "corrects": f"was entered as {resolution.corrects.outcome}"}, now=now
        )
    # Under the lock of the order: the state in which the entry was made may be over.
    order = OrderIntent.objects.select_for_update().get(id=order.id)
    if order.state != IntentState.NEEDS_HUMAN or (resolution.corrects is not None and order.fills.exists()):
        _refuse_state(order)
    if resolution.exchange_order_id:
        order = intent_accepted(
            intent_id=order.id,
            exchange_order_id=resolution.exchange_order_id,
            source="person",
            evidence={**entry, **found},
            now=now,
        )
    else:
        order = intent_end(
            intent_id=order.id,
            state=IntentState.NOT_PLACED,
            code="judged_absent",
            evidence={"grade": "person", **entry, **found},
            now=now,
        )
        if order.state != IntentState.NOT_PLACED:
            _refuse_state(order)
    entry_finish(OrderResolution, resolution.id, EntryState.APPLIED, details=dict(found), now=now)
    log.warning(
        "order_resolved_by_person",
        client_order_id=order.cl_ord_id,
        outcome=resolution.outcome,
        operator=resolution.operator,
        is_correction=resolution.corrects is not None,
    )
    return order


def _refuse(resolution: OrderResolution, error: PlatformError, *, now: datetime) -> None:
    resolution_refuse(
        resolution_id=resolution.id, code=error.code, message=error.message, details=error.details, now=now
    )


@transaction.atomic
def resolution_refuse(
    *, resolution_id: UUID, code: str, message: str, details: Mapping[str, Any], now: datetime
) -> None:
    """Stores why an entry was not applied. Does nothing for a finished one."""
    entry_finish(
        OrderResolution,
        resolution_id,
        EntryState.REFUSED,
        code=code,
        message=message,
        details=dict(details),
        now=now,
    )
    log.info("order_resolution_refused", resolution_id=str(resolution_id), code=code)


def _entry_to_correct(order: OrderIntent, exchange_order_id: str) -> OrderResolution | None:
    """The applied entry that a new one would replace; None where the order simply waits for a person.

    Raises OrderNotInDoubt, FillsBooked.
    """
    applied = OrderResolution.objects.filter(order=order, state=EntryState.APPLIED).order_by("-finished_at").first()
    follows_it = applied is not None and order.txid == applied.exchange_order_id
    if order.state == IntentState.NEEDS_HUMAN:
        if not order.txid or (order.txid == exchange_order_id and not follows_it):
            return None
        if not follows_it:
            raise OrderNotInDoubt(f"The exchange has named the order {order.cl_ord_id}: it was placed as {order.txid}.")
    elif applied is None or not follows_it:
        _refuse_state(order)
    assert applied is not None
    if applied.exchange_order_id == exchange_order_id:
        if order.state == IntentState.NEEDS_HUMAN:
            return None
        raise OrderNotInDoubt(f"It is entered already that {order.cl_ord_id} was {applied.outcome}.")
    if order.filled_volume:
        raise FillsBooked(
            f"{plain(order.filled_volume)} of {plain(order.volume)} is booked from {order.txid}; booked fills are not "
            "taken back. Correct the account's ledger by its reconciliation.",
            exchange_order_id=order.txid,
            filled_volume=plain(order.filled_volume),
        )
    if order.state in (IntentState.REJECTED, IntentState.FILLED):
        _refuse_state(order)
    return applied


def _refuse_state(order: OrderIntent) -> NoReturn:
    raise OrderNotInDoubt(f"The order {order.cl_ord_id} is {order.state}; it needs no manual resolution.")
