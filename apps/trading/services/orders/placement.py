"""Placement, polling and cancelling of orders. No transaction is open during a call to the exchange."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import structlog
from structlog.contextvars import bound_contextvars

from apps.core.errors import PlatformError
from apps.core.terms import Side
from apps.core.tracing import span
from apps.exchange.errors import HistoryTooLong, NotSent, OutcomeUnknown, OverBudget
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
from apps.trading.errors import ContradictoryEvidence, OrderBarred
from apps.trading.models.order_states import RESTING_STATES, IntentState
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.selectors import look_is_due
from apps.trading.services.context.dependencies import Dependencies
from apps.trading.services.context.run_lease import RunLease
from apps.trading.services.orders.fills import order_record
from apps.trading.services.orders.lifecycle import (
    intent_accepted,
    intent_end,
    intent_mark_cancel_requested,
    intent_mark_conflict,
    intent_mark_sending,
    intent_mark_unknown,
    intent_needs_human,
    intent_poll_at,
)

log = structlog.get_logger(__name__)

# Searches begin this long before an order was sent: clocks differ.
LOOK_BACK = timedelta(minutes=5)

# A new order is polled a few times at once, because exchanges show it late; then at growing intervals.
FIRST_POLLS_SECONDS = (0.0, 0.1, 0.3, 0.8)
POLL_YOUNG, POLL_OLD = timedelta(seconds=5), timedelta(seconds=30)
YOUNG = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Placement:
    """Result of a placement: the order, and the rejection where the exchange refused it.

    `unclassified` is an answer of the exchange that is in no table; the outcome is then unknown.
    """

    intent: OrderIntent
    rejection: Rejected | None = None
    over_budget: OverBudget | None = None
    unclassified: str = ""


def order_place(*, lease: RunLease, intent_id: UUID, deps: Dependencies) -> Placement:
    """Sends a planned order once and stores the answer. Raises LeaseLost, WrongAccount before anything was sent.

    Raises OrderBarred where the order may not be sent; it is then not_placed, with the bar as its code. Without a
    definitive answer the order becomes unknown; it is never sent again.
    """
    deps.account_of(OrderIntent.objects.only("credential_id", "cl_ord_id").get(id=intent_id))
    try:
        intent = intent_mark_sending(lease=lease, intent_id=intent_id, now=deps.clock())
    except OrderBarred as barred:
        # Only the run's lease lets an order be sent, and a later holder ends what it finds planned.
        rejection = barred.rejection
        evidence = {"grade": "A", "because": f"the order was not sent: {rejection.message}"}
        state = IntentState.NOT_PLACED
        intent_end(intent_id=intent_id, state=state, code=rejection.code, evidence=evidence, now=deps.clock())
        raise
    try:
        answer = _submit(intent, deps)
    except Exception as error:
        # Unexpected: the order may have been sent.
        intent_mark_unknown(
            intent_id=intent_id, code="internal_error", evidence={"error": type(error).__name__}, now=deps.clock()
        )
        raise
    if isinstance(answer, Accepted):
        return Placement(_poll_at_once(_accept(intent, answer, deps), deps))
    if isinstance(answer, Rejected):
        evidence = {"answer": answer.exchange_error, "message": answer.message, "kind": answer.kind.value}
        state = IntentState.REJECTED
        intent = intent_end(intent_id=intent_id, state=state, code=answer.code, evidence=evidence, now=deps.clock())
        return Placement(intent, answer)
    unclassified = answer.message if isinstance(answer, OutcomeUnknown) and answer.is_alarming else ""
    over_budget = answer if isinstance(answer, OverBudget) else None
    return Placement(OrderIntent.objects.get(id=intent_id), over_budget=over_budget, unclassified=unclassified)


def _submit(intent: OrderIntent, deps: Dependencies) -> Submission | NotSent | OutcomeUnknown:
    """The exchange's answer, or why there is none: the intent then says so already."""
    assert intent.deadline is not None
    request = OrderRequest(
        pair=intent.pair,
        side=Side(intent.side),
        order_type=OrderType.LIMIT,
        volume=intent.volume,
        price=intent.price,
        client_order_id=intent.cl_ord_id,
        deadline=intent.deadline,
        time_in_force=TimeInForce.IOC if intent.kind == OrderKind.TAKE else TimeInForce.GTC,
    )
    ids = {"order_id": str(intent.id), "client_order_id": intent.cl_ord_id}
    try:
        with bound_contextvars(**ids), span("place order", order_id=intent.id, bot_id=intent.bot_id):
            return deps.account_of(intent).submit(request)
    except NotSent as error:
        evidence = {"grade": "A", "because": "the request never left", "error": error.message}
        intent_end(
            intent_id=intent.id, state=IntentState.NOT_PLACED, code=error.code, evidence=evidence, now=deps.clock()
        )
        return error
    except OutcomeUnknown as error:
        if error.is_alarming:
            log.error("exchange_answer_unknown", client_order_id=intent.cl_ord_id, answer=error.message)
        intent_mark_unknown(
            intent_id=intent.id,
            code=error.code,
            evidence={"answer": error.message},
            deadline=error.deadline,
            now=deps.clock(),
        )
        return error


def _accept(intent: OrderIntent, answer: Accepted, deps: Dependencies) -> OrderIntent:
    try:
        return intent_accepted(
            intent_id=intent.id, exchange_order_id=answer.exchange_order_id, source="AddOrder", now=deps.clock()
        )
    except ContradictoryEvidence as error:
        # Stored here, because this worker may have lost its lease and no other worker has this answer.
        intent_mark_conflict(
            intent_id=intent.id, exchange_order_id=answer.exchange_order_id, because=error.message, now=deps.clock()
        )
        raise


def _poll_at_once(intent: OrderIntent, deps: Dependencies) -> OrderIntent:
    """Polls a new order. One that takes the market ends at once, and its fills are usually visible within a second."""
    for seconds in FIRST_POLLS_SECONDS if intent.kind == OrderKind.TAKE else FIRST_POLLS_SECONDS[:1]:
        deps.sleep(seconds)
        try:
            [intent] = orders_sync([intent], deps=deps)
        except PlatformError as error:
            log.info("order_not_seen_yet", client_order_id=intent.cl_ord_id, code=error.code)
        if not intent.is_resting:
            break
    return intent


def orders_sync(intents: Sequence[OrderIntent], *, deps: Dependencies) -> list[OrderIntent]:
    """Reads orders of one account by their exchange order ids and records what is new.

    An order that is missing in the answer keeps its state: absence proves nothing. Raises WrongAccount, and what the
    exchange's reads raise.
    """
    if not intents:
        return []
    [account, *_] = [deps.account_of(intent) for intent in intents]
    found = account.orders([intent.txid for intent in intents])
    return [order_update(intent, found.get(intent.txid), deps=deps) for intent in intents]


def order_update(intent: OrderIntent, order: ExchangeOrder | None, *, deps: Dependencies) -> OrderIntent:
    """Records an order's new trades and state. Raises WrongAccount, and what the exchange's reads raise.

    An answer that contradicts the stored order makes it needs_human.
    """
    deps.account_of(intent)
    if order is not None:
        trades = _trades(intent, order, deps)
        try:
            intent = order_record(intent_id=intent.id, order=order, trades=trades, now=deps.clock())
        except ContradictoryEvidence as error:
            intent = _mark_needs_human(intent, error.code, error.message, deps)
    if intent.is_resting:
        now = deps.clock()
        young = intent.sent_at is not None and timedelta(0) <= now - intent.sent_at < YOUNG
        intent = intent_poll_at(intent_id=intent.id, next_check_at=now + (POLL_YOUNG if young else POLL_OLD))
    return intent


def _mark_needs_human(intent: OrderIntent, code: str, because: str, deps: Dependencies) -> OrderIntent:
    return intent_needs_human(intent_id=intent.id, code=code, evidence={"because": because}, now=deps.clock())


def _trades(intent: OrderIntent, order: ExchangeOrder, deps: Dependencies) -> list[ExchangeTrade]:
    """The order's trades that are not recorded yet, as far as the exchange shows them."""
    if order.executed_volume <= intent.filled_volume:
        return []
    known = set(intent.fills.values_list("exchange_trade_id", flat=True))
    new = [trade_id for trade_id in order.trade_ids if trade_id not in known]
    trades = list(deps.account_of(intent).trades_of(new).values()) if new else []
    missing = order.executed_volume - intent.filled_volume - sum((trade.volume for trade in trades), Decimal(0))
    if missing > 0 and intent.sent_at is not None:
        # The order's own list of trades may be empty or late; the account's history is complete.
        history = _history_since(intent.sent_at, intent, deps)
        seen = known.union(trade.trade_id for trade in trades)
        trades += [
            trade
            for trade in history
            if trade.exchange_order_id == order.exchange_order_id and trade.trade_id not in seen
        ]
    return trades


def _history_since(sent_at: datetime, intent: OrderIntent, deps: Dependencies) -> list[ExchangeTrade]:
    """The account's trades since the order was sent; none where they are too many to be read at once.

    The order then stays open until its own list names its trades.
    """
    try:
        return deps.account_of(intent).trades_history(start=sent_at - LOOK_BACK)
    except HistoryTooLong as error:
        log.error("order_trades_unreadable", client_order_id=intent.cl_ord_id, reason=error.message)
        return []


def order_cancel(intent: OrderIntent, *, deps: Dependencies) -> OrderIntent:
    """Cancels an order and reads its state. Safe to repeat. Raises WrongAccount, and what the exchange's reads raise.

    A cancel proves nothing by itself: the order may have been filled first.
    """
    account = deps.account_of(intent)
    intent = intent_mark_cancel_requested(intent_id=intent.id, now=deps.clock())
    if not intent.txid:
        account.cancel(client_order_id=intent.cl_ord_id, pair=intent.pair, placed_at=intent.sent_at)
        return intent
    account.cancel(exchange_order_id=intent.txid, pair=intent.pair, placed_at=intent.sent_at)
    [intent] = orders_sync([intent], deps=deps)
    return intent


def resting_intents(run_id: UUID, *, due_at: datetime | None = None) -> list[OrderIntent]:
    """The run's open orders; with `due_at`, those that are due to be polled."""
    resting = OrderIntent.objects.filter(run_id=run_id, state__in=RESTING_STATES)
    if due_at is not None:
        resting = resting.filter(look_is_due(now=due_at))
    return list(resting.order_by("planned_at"))
