"""Resolves orders of unknown outcome. Such an order is never sent again; only evidence ends the doubt.

The exchange accepts an order until its deadline, and may show it up to a minute later (reports of Kraken's users). The
resolver looks for it by its client order id among open and closed orders: at the deadline, 5, 15, 30 and 60 seconds
after it, then once a minute. An order that is found is adopted with its fills. An order that is not found becomes
not_placed only with proof:

- Grade A: nothing ever left this machine. The worker that was about to send it knows that at once.
- Grade B: five minutes after the deadline, every order and trade of the account on that pair and side since the order
  was sent belongs to another order. An order or trade that cannot be attributed makes the order needs_human.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from structlog.contextvars import bound_contextvars

from apps.core.due import is_due
from apps.core.tracing import span
from apps.exchange.errors import HistoryTooLong
from apps.exchange.types import ExchangeOrder
from apps.trading.errors import ForeignOrders
from apps.trading.ids import is_ours
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.services.context.dependencies import Dependencies
from apps.trading.services.orders.lifecycle import (
    LATEST_DEADLINE,
    intent_accepted,
    intent_end,
    intent_mark_unknown,
    intent_needs_human,
)
from apps.trading.services.orders.placement import LOOK_BACK, order_cancel, order_update

log = structlog.get_logger(__name__)


# Largest difference between the exchange's clock and ours that the proof of absence allows for.
CLOCK_SKEW = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When an unknown order is looked for and when its absence may be decided, in seconds after its deadline."""

    looks: tuple[int, ...] = (0, 5, 15, 30, 60)
    then_every: int = 60
    decide_absence_after: int = 300

    def next_look(self, *, deadline: datetime, now: datetime) -> datetime:
        passed = (now - deadline).total_seconds()
        if passed < 0:  # the clock was set back since
            return now + timedelta(seconds=self.then_every)
        for seconds in self.looks:
            if seconds > passed:
                return deadline + timedelta(seconds=seconds)
        decided_from = deadline + timedelta(seconds=self.decide_absence_after)
        in_a_while = now + timedelta(seconds=self.then_every)
        return min(in_a_while, decided_from) if now < decided_from else in_a_while


SCHEDULE = Schedule()


def intent_resolve(intent: OrderIntent, *, deps: Dependencies, schedule: Schedule = SCHEDULE) -> OrderIntent:
    """Looks for the order once, on its own account.

    Raises WrongAccount, and what the exchange's reads raise; such a look does not count.
    """
    deps.account_of(intent)
    assert intent.deadline is not None
    assert intent.sent_at is not None
    if intent.state != IntentState.UNKNOWN:
        return intent
    # To look early does no harm, so a clock that was set back delays no look by more than that.
    if not is_due(intent.deadline, now=deps.clock(), at_most=LATEST_DEADLINE):
        return intent
    ids = {"bot_id": str(intent.bot_id), "order_id": str(intent.id), "client_order_id": intent.cl_ord_id}
    with bound_contextvars(**ids), span("resolve order", order_id=intent.id, bot_id=intent.bot_id):
        return _look(intent, deps, schedule)


def _look(intent: OrderIntent, deps: Dependencies, schedule: Schedule) -> OrderIntent:
    assert intent.deadline is not None
    order, where = _find(intent, deps)
    if order is not None:
        return _adopt(intent, order, where, deps)
    now = deps.clock()
    decided_from = intent.deadline + timedelta(seconds=schedule.decide_absence_after)
    next_look = schedule.next_look(deadline=intent.deadline, now=now)
    if now >= decided_from:
        # By the exchange's clock, which the deadline is for. Ours may have been set forward since the order was sent,
        # and an order that is only not visible yet must not be taken for absent.
        left = decided_from - deps.account_of(intent).server_time()
        if left <= timedelta(0):
            return _decide_absence(intent, deps)
        next_look = min(next_look, now + left)
    return intent_mark_unknown(
        intent_id=intent.id,
        code="not_found_yet",
        evidence={"looked_in": ["OpenOrders", "ClosedOrders"], "found": False},
        next_check_at=next_look,
        now=now,
    )


def _find(intent: OrderIntent, deps: Dependencies) -> tuple[ExchangeOrder | None, str]:
    assert intent.sent_at is not None
    account = deps.account_of(intent)
    # Open orders first: an order that ends between the two reads is found by the second.
    for order in account.open_orders(client_order_id=intent.cl_ord_id):
        if order.client_order_id == intent.cl_ord_id:
            return order, "OpenOrders"
    for order in account.closed_orders(client_order_id=intent.cl_ord_id, start=intent.sent_at - LOOK_BACK):
        if order.client_order_id == intent.cl_ord_id:
            return order, "ClosedOrders"
    return None, ""


def _adopt(intent: OrderIntent, order: ExchangeOrder, where: str, deps: Dependencies) -> OrderIntent:
    log.info("order_found", client_order_id=intent.cl_ord_id, exchange_order_id=order.exchange_order_id, where=where)
    intent = intent_accepted(
        intent_id=intent.id, exchange_order_id=order.exchange_order_id, source=where, now=deps.clock()
    )
    intent = order_update(intent, order, deps=deps)
    if intent.is_resting and intent.cancel_requested_at is not None:
        intent = order_cancel(intent, deps=deps)
    return intent


def _decide_absence(intent: OrderIntent, deps: Dependencies) -> OrderIntent:
    try:
        unattributed = _unattributed(intent, deps)
    except HistoryTooLong:
        return intent_needs_human(
            intent_id=intent.id,
            code="history_too_long",
            evidence={"because": "the account had more orders or trades in the time than can be read at once"},
            now=deps.clock(),
        )
    if unattributed:
        return intent_needs_human(
            intent_id=intent.id,
            code="unattributed_activity",
            evidence={"unattributed": unattributed[:20], "because": "it may be this order"},
            now=deps.clock(),
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
        now=deps.clock(),
    )


def _unattributed(intent: OrderIntent, deps: Dependencies) -> list[str]:
    """Orders and trades on the pair and side, since the order was sent, that belong to no other order."""
    assert intent.sent_at is not None
    start = intent.sent_at - CLOCK_SKEW
    account = deps.account_of(intent)
    names = deps.market.instrument(intent.pair).value.names
    orders = [*account.open_orders(), *account.closed_orders(start=start)]
    trades = account.trades_history(start=start)
    ours = set(
        OrderIntent.objects.filter(credential_id=intent.credential_id).exclude(txid="").values_list("txid", flat=True)
    )
    # An order that carries another client order id is another order.
    attributed = ours.union(
        order.exchange_order_id
        for order in orders
        if order.client_order_id and order.client_order_id != intent.cl_ord_id
    )
    other_orders = [
        order.exchange_order_id
        for order in orders
        if order.pair in names
        and order.side.value == intent.side
        and order.exchange_order_id not in attributed
        and (order.opened_at is None or order.opened_at >= start)
    ]
    other_trades = [
        trade.trade_id
        for trade in trades
        if trade.pair in names and trade.side.value == intent.side and trade.exchange_order_id not in attributed
    ]
    return other_orders + other_trades


@dataclass(frozen=True, slots=True)
class LostTime:
    """The time that a recorded restore lost: from the moment that the database was restored to until its record."""

    since: datetime
    until: datetime

    def may_have(self, order: ExchangeOrder) -> bool:
        """Whether the order may have been placed in that time, as far as clocks agree."""
        return order.opened_at is not None and self.since - CLOCK_SKEW <= order.opened_at <= self.until + CLOCK_SKEW


def orphans_cancel(*, bot_id: UUID, deps: Dependencies, lost: LostTime | None) -> list[ExchangeOrder]:
    """Cancels open orders that carry the bot's code and that no intent knows, and returns them.

    Only those of the time that a recorded restore lost: no tick and no reconciliation would see them. Any other such
    order is another installation's, that trades with a copy of this database. Cancelling it would do harm there, and
    two installations must not trade for one bot: nothing is cancelled. Raises ForeignOrders, and what the exchange's
    reads raise.
    """
    marked = [order for order in deps.exchange.open_orders() if is_ours(order.client_order_id or "", bot_id=bot_id)]
    ids = [order.client_order_id or "" for order in marked]
    known = set(OrderIntent.objects.filter(cl_ord_id__in=ids).values_list("cl_ord_id", flat=True))
    orphans = [order for order in marked if order.client_order_id not in known]
    if foreign := [order for order in orphans if lost is None or not lost.may_have(order)]:
        raise _foreign_orders(bot_id, foreign)
    for order in orphans:
        log.error(
            "orphan_order_cancelled",
            bot_id=str(bot_id),
            exchange_order_id=order.exchange_order_id,
            client_order_id=order.client_order_id,
        )
        deps.exchange.cancel(exchange_order_id=order.exchange_order_id, pair=order.pair, placed_at=order.opened_at)
    return orphans


def _foreign_orders(bot_id: UUID, orders: list[ExchangeOrder]) -> ForeignOrders:
    names = ", ".join(order.exchange_order_id for order in orders[:10])
    log.error("foreign_orders_with_our_mark", bot_id=str(bot_id), exchange_order_ids=names)
    return ForeignOrders(
        f"Orders with this bot's mark are open on the exchange that the platform did not place: {names}. Another "
        "installation may trade for this bot with a copy of the database and the same key. Nothing was cancelled. Stop "
        "that installation, cancel these orders on the exchange, then start the bot again.",
        bot_id=str(bot_id),
        orders=[
            {
                "exchange_order_id": order.exchange_order_id,
                "client_order_id": order.client_order_id,
                "opened_at": order.opened_at.isoformat() if order.opened_at else None,
            }
            for order in orders[:10]
        ],
    )
