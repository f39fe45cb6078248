"""What became of an order whose outcome is unknown. It is never sent again; only evidence ends the doubt.

The exchange takes the order until its deadline, and may show it up to a minute later (reports of Kraken's users). So it
is looked for by its `cl_ord_id`, among open and ended orders, at the deadline and 5, 15, 30 and 60 seconds after it,
then once a minute. Found, it is adopted with its fills. Not found, it counts as not placed only with proof:

- Grade A: nothing ever left this machine. That is known at once, where the order was to be sent.
- Grade B: five minutes after the deadline, everything that the account has had on that pair and side since the order
  was sent belongs to orders that are known. Anything that does not is for a person to judge.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from apps.exchange.errors import HistoryTooLong
from apps.exchange.types import ExchangeOrder
from apps.trading.ids import is_ours
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.services.context.dependencies import Desk
from apps.trading.services.orders.lifecycle import intent_accepted, intent_doubt, intent_end, intent_needs_human
from apps.trading.services.orders.placement import LOOK_BACK, order_cancel, order_take_over

log = structlog.get_logger(__name__)


# How far the exchange's clock and ours may be apart where an order's absence is judged.
CLOCK_SKEW = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Seconds after the deadline at which an order is looked for, and from when on its absence may be judged."""

    looks: tuple[int, ...] = (0, 5, 15, 30, 60)
    then_every: int = 60
    judge_after: int = 300

    def next_look(self, *, deadline: datetime, now: datetime) -> datetime:
        passed = (now - deadline).total_seconds()
        for seconds in self.looks:
            if seconds > passed:
                return deadline + timedelta(seconds=seconds)
        return min(now + timedelta(seconds=self.then_every), max(now, deadline + timedelta(seconds=self.judge_after)))


SCHEDULE = Schedule()


def intent_resolve(intent: OrderIntent, *, desk: Desk, schedule: Schedule = SCHEDULE) -> OrderIntent:
    """Looks for the order once. Raises what reads raise; then the look does not count."""
    assert intent.deadline is not None
    assert intent.sent_at is not None
    if intent.state != IntentState.UNKNOWN or desk.clock() < intent.deadline:
        return intent
    order, where = _find(intent, desk)
    if order is not None:
        return _adopt(intent, order, where, desk)
    now = desk.clock()
    if now >= intent.deadline + timedelta(seconds=schedule.judge_after):
        return _judge_absence(intent, desk)
    return intent_doubt(
        intent_id=intent.id,
        code="not_found_yet",
        evidence={"looked_in": ["OpenOrders", "ClosedOrders"], "found": False},
        next_check_at=schedule.next_look(deadline=intent.deadline, now=now),
        now=now,
    )


def _find(intent: OrderIntent, desk: Desk) -> tuple[ExchangeOrder | None, str]:
    assert intent.sent_at is not None
    # Open first: an order that ends between the two questions is then found by the second.
    for order in desk.exchange.open_orders(cl_ord_id=intent.cl_ord_id):
        if order.cl_ord_id == intent.cl_ord_id:
            return order, "OpenOrders"
    for order in desk.exchange.closed_orders(cl_ord_id=intent.cl_ord_id, start=intent.sent_at - LOOK_BACK):
        if order.cl_ord_id == intent.cl_ord_id:
            return order, "ClosedOrders"
    return None, ""


def _adopt(intent: OrderIntent, order: ExchangeOrder, where: str, desk: Desk) -> OrderIntent:
    log.info("order_found", cl_ord_id=intent.cl_ord_id, txid=order.txid, where=where)
    intent = intent_accepted(intent_id=intent.id, txid=order.txid, source=where, now=desk.clock())
    intent = order_take_over(intent, order, desk=desk)
    if intent.is_resting and intent.cancel_requested_at is not None:
        intent = order_cancel(intent, desk=desk)
    return intent


def _judge_absence(intent: OrderIntent, desk: Desk) -> OrderIntent:
    try:
        strangers = _unattributed(intent, desk)
    except HistoryTooLong:
        return intent_needs_human(
            intent_id=intent.id,
            code="history_too_long",
            evidence={"because": "the account had more orders or trades in the time than can be read at once"},
            now=desk.clock(),
        )
    if strangers:
        return intent_needs_human(
            intent_id=intent.id,
            code="unattributed_activity",
            evidence={"unattributed": strangers[:20], "because": "it may be this order"},
            now=desk.clock(),
        )
    return intent_end(
        intent_id=intent.id,
        state=IntentState.NOT_PLACED,
        code="proved_absent",
        evidence={
            "grade": "B",
            "looked_in": ["OpenOrders", "ClosedOrders", "TradesHistory"],
            "because": "every order and trade on the pair and side since it was sent belongs to another order",
        },
        now=desk.clock(),
    )


def _unattributed(intent: OrderIntent, desk: Desk) -> list[str]:
    """Orders and trades on the pair and side, since the order was sent, that no known order accounts for."""
    assert intent.sent_at is not None
    start = intent.sent_at - CLOCK_SKEW
    names = desk.exchange.instrument(intent.pair).names
    orders = [*desk.exchange.open_orders(), *desk.exchange.closed_orders(start=start)]
    trades = desk.exchange.trades_history(start=start)
    ours = set(
        OrderIntent.objects.filter(credential_id=intent.credential_id).exclude(txid="").values_list("txid", flat=True)
    )
    # An order under a client id of its own is not this one, whoever placed it.
    accounted = ours.union(order.txid for order in orders if order.cl_ord_id and order.cl_ord_id != intent.cl_ord_id)
    strange_orders = [
        order.txid
        for order in orders
        if order.pair in names
        and order.side.value == intent.side
        and order.txid not in accounted
        and (order.opened_at is None or order.opened_at >= start)
    ]
    strange_trades = [
        trade.trade_id
        for trade in trades
        if trade.pair in names and trade.side.value == intent.side and trade.order_txid not in accounted
    ]
    return strange_orders + strange_trades


def orphans_cancel(*, bot_id: UUID, desk: Desk) -> list[ExchangeOrder]:
    """Takes open orders off the book that carry the bot's mark and that no intent knows, and returns them.

    Only a database that was set back leaves such. Nobody would ever look after them. Raises what reads raise.
    """
    marked = [order for order in desk.exchange.open_orders() if is_ours(order.cl_ord_id or "", bot_id=bot_id)]
    ids = [order.cl_ord_id or "" for order in marked]
    known = set(OrderIntent.objects.filter(cl_ord_id__in=ids).values_list("cl_ord_id", flat=True))
    orphans = [order for order in marked if order.cl_ord_id not in known]
    for order in orphans:
        log.error("orphan_order_cancelled", bot_id=str(bot_id), txid=order.txid, cl_ord_id=order.cl_ord_id)
        desk.exchange.cancel(txid=order.txid)
    return orphans
