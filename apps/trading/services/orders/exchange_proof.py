"""What the exchange says to a person's entry about an order: asked outside any transaction, with the order's key."""

from decimal import Decimal
from typing import Any

from apps.core.errors import Conflict, Refused
from apps.core.money import plain
from apps.exchange.port import Exchange
from apps.exchange.types import ExchangeOrder, OrderType
from apps.trading.models.orders import OrderIntent
from apps.trading.services.context.dependencies import Dependencies
from apps.trading.services.orders.placement import LOOK_BACK
from apps.trading.services.orders.unknown_outcome import CLOCK_SKEW


class ExchangeOrderUnknown(Refused):
    """The account has no order with the id that was entered."""

    code = "exchange_order_unknown"


class TermsDiffer(Refused):
    """The exchange's order is another one. `details`: `ours`, `exchange`, and the names of what `differs`."""

    code = "terms_differ"


class OrderWasPlaced(Conflict):
    """The exchange has an order with the client order id, so it was placed."""

    code = "order_was_placed"


class DeadlineNotPassed(Conflict):
    """Until its deadline the exchange may still accept the order."""

    code = "deadline_not_passed"


def prove_placed(intent: OrderIntent, exchange_order_id: str, *, deps: Dependencies) -> dict[str, Any]:
    """The exchange's terms of the order, which agree with ours.

    Raises ExchangeOrderUnknown, TermsDiffer, OrderWasPlaced where the account has the order under another id, and what
    the exchange's reads raise.
    """
    account = deps.account_of(intent)
    order = account.orders([exchange_order_id]).get(exchange_order_id)
    if order is None:
        raise ExchangeOrderUnknown(
            f"The exchange knows no order {exchange_order_id} on this account. Copy the id from the account's pages.",
            exchange_order_id=exchange_order_id,
            ours=_our_terms(intent),
        )
    ours, theirs = _our_terms(intent), _their_terms(order)
    differs = _differences(intent, order, names=account.instrument(intent.pair).names)
    if differs:
        raise TermsDiffer(
            f"The exchange's order {exchange_order_id} is not {intent.cl_ord_id}: "
            + "; ".join(f"{name} is {theirs[name]}, ours is {ours[name]}" for name in differs)
            + ".",
            ours=ours,
            exchange=theirs,
            differs=differs,
        )
    by_our_id = _found_by_client_order_id(intent, account)
    if by_our_id is not None and by_our_id.exchange_order_id != exchange_order_id:
        raise _was_placed(intent, by_our_id)
    return theirs


def prove_absent(intent: OrderIntent, *, deps: Dependencies) -> dict[str, Any]:
    """Where the order was looked for and not found.

    Raises OrderWasPlaced, DeadlineNotPassed, and what the exchange's reads raise.
    """
    assert intent.deadline is not None
    if deps.clock() <= intent.deadline:
        raise DeadlineNotPassed(
            f"The exchange may accept {intent.cl_ord_id} until {intent.deadline.isoformat()}. Look again then.",
            deadline=intent.deadline.isoformat(),
        )
    order = _found_by_client_order_id(intent, deps.account_of(intent))
    if order is not None:
        raise _was_placed(intent, order)
    return {"looked_in": ["OpenOrders", "ClosedOrders"], "found": False}


def _found_by_client_order_id(intent: OrderIntent, account: Exchange) -> ExchangeOrder | None:
    assert intent.sent_at is not None
    # Open orders first: an order that ends between the two reads is found by the second.
    found = [
        *account.open_orders(client_order_id=intent.cl_ord_id),
        *account.closed_orders(client_order_id=intent.cl_ord_id, start=intent.sent_at - LOOK_BACK),
    ]
    return next((order for order in found if order.client_order_id == intent.cl_ord_id), None)


def _was_placed(intent: OrderIntent, order: ExchangeOrder) -> OrderWasPlaced:
    return OrderWasPlaced(
        f"The exchange has the order {intent.cl_ord_id}: it was placed as {order.exchange_order_id} and is "
        f"{order.status}. Enter that id.",
        exchange_order_id=order.exchange_order_id,
        ours=_our_terms(intent),
        exchange=_their_terms(order),
    )


def _differences(intent: OrderIntent, order: ExchangeOrder, *, names: frozenset[str] | set[str]) -> list[str]:
    """Names of the terms that differ. What the exchange leaves out is no difference."""
    assert intent.sent_at is not None
    assert intent.deadline is not None
    opened_at = order.opened_at
    is_same = {
        "pair": order.pair in names,
        "side": order.side.value == intent.side,
        "type": order.order_type == OrderType.LIMIT,
        "volume": order.volume == intent.volume,
        "price": order.limit_price in (None, intent.price),
        "client_order_id": order.client_order_id in (None, "", intent.cl_ord_id),
        "opened_at": opened_at is None or intent.sent_at - CLOCK_SKEW <= opened_at <= intent.deadline + CLOCK_SKEW,
    }
    return [name for name, same in is_same.items() if not same]


def _our_terms(intent: OrderIntent) -> dict[str, Any]:
    return {
        "pair": intent.pair,
        "side": intent.side,
        "type": OrderType.LIMIT.value,
        "volume": plain(intent.volume),
        "price": plain(intent.price),
        "client_order_id": intent.cl_ord_id,
        # Sent then; the exchange may have accepted it until the deadline.
        "opened_at": intent.sent_at.isoformat() if intent.sent_at else None,
        "deadline": intent.deadline.isoformat() if intent.deadline else None,
    }


def _their_terms(order: ExchangeOrder) -> dict[str, Any]:
    def amount(value: Decimal | None) -> str | None:
        return None if value is None else plain(value)

    return {
        "exchange_order_id": order.exchange_order_id,
        "pair": order.pair,
        "side": order.side.value,
        "type": order.order_type,
        "volume": amount(order.volume),
        "price": amount(order.limit_price),
        "client_order_id": order.client_order_id,
        "opened_at": order.opened_at.isoformat() if order.opened_at else None,
        "status": order.status.value,
        "executed_volume": amount(order.executed_volume),
    }
