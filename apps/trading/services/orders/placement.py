"""Sending orders, and looking after those that were sent. No transaction is open while the exchange is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import structlog
from django.db import IntegrityError

from apps.core.errors import PlatformError
from apps.core.terms import Side
from apps.exchange.errors import NotSent, OutcomeUnknown
from apps.exchange.types import (
    Accepted,
    ExchangeOrder,
    ExchangeTrade,
    OrderRequest,
    OrderType,
    Rejected,
    Submission,
    TimeInForce,
)
from apps.trading.errors import ContradictoryEvidence
from apps.trading.models.order_states import RESTING_STATES, IntentState
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.services.context.dependencies import Desk
from apps.trading.services.context.run_lease import RunLease
from apps.trading.services.orders.fills import order_record
from apps.trading.services.orders.lifecycle import (
    intent_accepted,
    intent_contradicted,
    intent_doubt,
    intent_end,
    intent_mark_cancel_requested,
    intent_mark_sending,
    intent_needs_human,
    intent_poll_at,
)

log = structlog.get_logger(__name__)

# How far back an order is looked for before the time at which it was sent: clocks differ.
LOOK_BACK = timedelta(minutes=5)

# A fresh order is asked for a few times at once, because exchanges show it late; then by and by.
QUICK_LOOKS_SECONDS = (0.0, 0.1, 0.3, 0.8)
POLL_YOUNG, POLL_OLD = timedelta(seconds=5), timedelta(seconds=30)
YOUNG = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Placement:
    """How sending ended: the order as it stands, and the refusal where there was one."""

    intent: OrderIntent
    rejection: Rejected | None = None


def order_place(*, lease: RunLease, intent_id: UUID, desk: Desk) -> Placement:
    """Sends a planned order, once, and stores what comes of it. Raises LeaseLost before anything was sent.

    An order whose outcome is not known is left in doubt; nobody sends it again.
    """
    lease.renew(now=desk.clock())
    intent = intent_mark_sending(lease=lease, intent_id=intent_id, now=desk.clock())
    try:
        answer = _submit(intent, desk)
    except Exception as error:
        # Whatever this was, the order may have gone out.
        intent_doubt(
            intent_id=intent_id, code="internal_error", evidence={"error": type(error).__name__}, now=desk.clock()
        )
        raise
    if isinstance(answer, Accepted):
        return Placement(_look_quickly(_accept(intent, answer, desk), desk))
    if isinstance(answer, Rejected):
        evidence = {"answer": answer.exchange_error, "message": answer.message}
        state = IntentState.REJECTED
        intent = intent_end(intent_id=intent_id, state=state, code=answer.code, evidence=evidence, now=desk.clock())
        return Placement(intent, answer)
    return Placement(OrderIntent.objects.get(id=intent_id))


def _submit(intent: OrderIntent, desk: Desk) -> Submission | None:
    """The answer; None where the intent already says what is known: not sent, or in doubt."""
    assert intent.deadline is not None
    request = OrderRequest(
        pair=intent.pair,
        side=Side(intent.side),
        order_type=OrderType.LIMIT,
        volume=intent.volume,
        price=intent.price,
        cl_ord_id=intent.cl_ord_id,
        deadline=intent.deadline,
        time_in_force=TimeInForce.IOC if intent.kind == OrderKind.TAKE else TimeInForce.GTC,
    )
    try:
        return desk.exchange.submit(request)
    except NotSent as error:
        evidence = {"grade": "A", "because": "the request never left", "error": error.message}
        intent_end(
            intent_id=intent.id, state=IntentState.NOT_PLACED, code=error.code, evidence=evidence, now=desk.clock()
        )
    except OutcomeUnknown as error:
        if error.is_alarming:
            log.error("exchange_answer_not_known", cl_ord_id=intent.cl_ord_id, answer=error.message)
        intent_doubt(intent_id=intent.id, code=error.code, evidence={"answer": error.message}, now=desk.clock())
    return None


def _accept(intent: OrderIntent, answer: Accepted, desk: Desk) -> OrderIntent:
    try:
        return intent_accepted(intent_id=intent.id, txid=answer.txid, source="AddOrder", now=desk.clock())
    except ContradictoryEvidence as error:
        # This worker may have lost its lease long ago, so nobody else would say it.
        intent_contradicted(intent_id=intent.id, txid=answer.txid, because=error.message, now=desk.clock())
        raise


def _look_quickly(intent: OrderIntent, desk: Desk) -> OrderIntent:
    """An order that takes the market ends at once: its fills are usually there within a second."""
    for seconds in QUICK_LOOKS_SECONDS if intent.kind == OrderKind.TAKE else QUICK_LOOKS_SECONDS[:1]:
        desk.sleep(seconds)
        try:
            [intent] = orders_sync([intent], desk=desk)
        except PlatformError as error:
            log.info("order_not_seen_yet", cl_ord_id=intent.cl_ord_id, code=error.code)
        if not intent.is_resting:
            break
    return intent


def orders_sync(intents: Sequence[OrderIntent], *, desk: Desk) -> list[OrderIntent]:
    """Asks the exchange for orders that it has named, and books what is new. Raises what reads raise.

    An order that is missing in the answer stays as it is: absence proves nothing.
    """
    if not intents:
        return []
    found = desk.exchange.orders([intent.txid for intent in intents])
    return [order_take_over(intent, found.get(intent.txid), desk=desk) for intent in intents]


def order_take_over(intent: OrderIntent, order: ExchangeOrder | None, *, desk: Desk) -> OrderIntent:
    """Books an order's new trades and state. Raises what reads raise.

    What cannot be booked, because it contradicts what is stored, is left to a person.
    """
    if order is not None:
        trades = _trades(intent, order, desk)
        try:
            intent = order_record(intent_id=intent.id, order=order, trades=trades, now=desk.clock())
        except ContradictoryEvidence as error:
            intent = _leave_to_human(intent, error.code, error.message, desk)
        except IntegrityError as error:
            intent = _leave_to_human(intent, "constraint_violated", str(error).splitlines()[0], desk)
    if intent.is_resting:
        now = desk.clock()
        young = intent.sent_at is not None and now - intent.sent_at < YOUNG
        intent = intent_poll_at(intent_id=intent.id, next_check_at=now + (POLL_YOUNG if young else POLL_OLD))
    return intent


def _leave_to_human(intent: OrderIntent, code: str, because: str, desk: Desk) -> OrderIntent:
    return intent_needs_human(intent_id=intent.id, code=code, evidence={"because": because}, now=desk.clock())


def _trades(intent: OrderIntent, order: ExchangeOrder, desk: Desk) -> list[ExchangeTrade]:
    """The order's trades that are not booked yet, as far as the exchange shows them."""
    if order.executed_volume <= intent.filled_volume:
        return []
    known = set(intent.fills.values_list("exchange_trade_id", flat=True))
    new = [trade_id for trade_id in order.trade_ids if trade_id not in known]
    trades = list(desk.exchange.trades_of(new).values()) if new else []
    missing = order.executed_volume - intent.filled_volume - sum((trade.volume for trade in trades), Decimal(0))
    if missing > 0 and intent.sent_at is not None:
        # The order's own list may be empty or late: the account's history has them all.
        history = desk.exchange.trades_history(start=intent.sent_at - LOOK_BACK)
        seen = known.union(trade.trade_id for trade in trades)
        trades += [trade for trade in history if trade.order_txid == order.txid and trade.trade_id not in seen]
    return trades


def order_cancel(intent: OrderIntent, *, desk: Desk) -> OrderIntent:
    """Asks the exchange to take an order off the book, and what became of it. Safe to repeat. Raises what reads raise.

    A cancel proves nothing by itself: the order may have been filled first.
    """
    intent = intent_mark_cancel_requested(intent_id=intent.id, now=desk.clock())
    if not intent.txid:
        desk.exchange.cancel(cl_ord_id=intent.cl_ord_id)
        return intent
    desk.exchange.cancel(txid=intent.txid)
    [intent] = orders_sync([intent], desk=desk)
    return intent


def resting_intents(run_id: UUID, *, due_at: datetime | None = None) -> list[OrderIntent]:
    """The run's orders on the book; with `due_at`, those whose time to be asked for has come."""
    resting = OrderIntent.objects.filter(run_id=run_id, state__in=RESTING_STATES)
    if due_at is not None:
        resting = resting.filter(next_check_at__lte=due_at)
    return list(resting.order_by("planned_at"))
