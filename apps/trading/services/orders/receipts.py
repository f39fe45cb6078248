"""What a command came to, for its receipt: each order it placed or ended, with the order's proved end.

A result is stored in the transaction that completes the command. While the end of an order in it is not proved it is
not final: every later step of such an order brings it up to date.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q

from apps.core.money import plain
from apps.core.terms import Side
from apps.events.commands.executions import result_set, results_for_update
from apps.exchange.types import ZERO
from apps.trading.models.order_states import ACTIVE_STATES, RESTING_STATES, IntentState
from apps.trading.models.orders import OrderIntent

_SENTENCES = {
    "filled": "The order was filled.",
    "partly_filled": "A part of the order was filled; the rest found no taker within its price.",
    "not_filled": "Nothing was traded: the order found no taker within its price.",
    "not_sent": "Nothing was traded: the order never left.",
    "open": "The exchange has the order; how it ends is not known yet.",
    "unknown": "It is not known yet what became of the order. It is looked for until that is proved.",
    "refused": "The exchange refused the order.",
}
_UNPROVED = "orders_not_ended"
_UNPROVED_SENTENCE = "The end of {count} of the orders is not proved yet. They are looked for until it is."


def trade_result(command_id: UUID, *, code: str = "", message: str = "") -> dict[str, Any] | None:
    """What a requested trade came to; None where it placed no order. Call it in the transaction that completes it.

    `code` and `message` say why it failed, if it did.
    """
    intents = list(OrderIntent.objects.select_for_update().filter(command_id=command_id).order_by("planned_at", "id"))
    return _trade_result([_entry(intent) for intent in intents], code=code, message=message) if intents else None


def refused_result(*, outcome: str, code: str, message: str) -> dict[str, Any]:
    """The result of a requested trade that placed no order."""
    return {
        "outcome": outcome,
        "is_final": True,
        "code": code,
        "message": message,
        "filled_volume": "0",
        "average_price": None,
        "fee": "0",
        "orders": [],
    }


def stop_result(
    *,
    bot_id: UUID,
    command_id: UUID,
    requested_at: datetime,
    cancels: bool,
    found_active: Collection[UUID],
    left_volume: Decimal,
    code: str = "",
    message: str = "",
) -> dict[str, Any]:
    """What a stop came to: every order that had not ended when it was requested, and those that it placed.

    `found_active` are the orders that had not ended when a worker began: clocks differ. `cancels`: open orders were to
    be cancelled. `left_volume` is what was to be sold and was not; `code` and `message`
    say why. Call it in the transaction that completes the stop.
    """
    concerned = Q(ended_at=None) | Q(ended_at__gte=requested_at) | Q(command_id=command_id) | Q(id__in=found_active)
    intents = OrderIntent.objects.select_for_update().filter(concerned, bot_id=bot_id).order_by("planned_at", "id")
    return _stop_result(
        [_entry(intent) for intent in intents], cancels=cancels, left_volume=left_volume, code=code, message=message
    )


def receipts_update(intent: OrderIntent) -> None:
    """Brings the results that list the order and are not final up to date. Call it in the transaction of its step."""
    entry = _entry(intent)
    listed = [{"client_order_id": intent.cl_ord_id}]
    for execution in results_for_update(aggregate_id=intent.bot_id, is_final=False, orders=listed):
        assert execution.result is not None
        result_set(command_id=execution.command_id, result=_with_entry(execution.result, entry))


def _with_entry(result: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    before = next(each for each in result["orders"] if each["client_order_id"] == entry["client_order_id"])
    orders = [entry if each is before else each for each in result["orders"]]
    if "left_volume" not in result:
        return _trade_result(orders, code=result["code"], message="")
    sold = Decimal(entry["filled_volume"]) - Decimal(before["filled_volume"])
    left = Decimal(result["left_volume"])
    if left and sold:
        left = max(ZERO, left - sold if entry["side"] == Side.SELL else left + sold)
    return _stop_result(
        orders, cancels=result["cancels"], left_volume=left, code=result["code"], message=result["message"]
    )


def _trade_result(orders: Sequence[dict[str, Any]], *, code: str, message: str) -> dict[str, Any]:
    outcome = _outcome(orders)
    volume = sum((Decimal(each["filled_volume"]) for each in orders), ZERO)
    cost = sum((Decimal(each["filled_cost"]) for each in orders), ZERO)
    return {
        "outcome": outcome,
        "is_final": not any(each["state"] in ACTIVE_STATES for each in orders),
        "code": code,
        "message": message or _SENTENCES[outcome],
        "filled_volume": plain(volume),
        "average_price": _price(cost, volume),
        "fee": plain(sum((Decimal(each["fee"]) for each in orders), ZERO)),
        "orders": list(orders),
    }


def _outcome(orders: Sequence[dict[str, Any]]) -> str:
    """Of the last order: an earlier one of the same command was proved not placed."""
    last = orders[-1]
    state, has_fills = last["state"], Decimal(last["filled_volume"]) > 0
    if state == IntentState.FILLED:
        return "filled"
    if state == IntentState.REJECTED:
        return "refused"
    if state in (IntentState.NOT_PLACED, IntentState.PLANNED):
        return "not_sent"
    if state in RESTING_STATES:
        return "open"
    if state in ACTIVE_STATES:
        return "unknown"
    return "partly_filled" if has_fills else "not_filled"


def _stop_result(
    orders: Sequence[dict[str, Any]], *, cancels: bool, left_volume: Decimal, code: str, message: str
) -> dict[str, Any]:
    """`code` and `message` say what went wrong."""
    active = [each for each in orders if each["state"] in ACTIVE_STATES]
    # A pause leaves orders on the book; one whose outcome is unknown is a doubt under every manner.
    unproved = [each for each in active if cancels or each["state"] not in RESTING_STATES]
    is_complete = not unproved and not left_volume
    if is_complete:
        code = message = ""
    elif code in ("", _UNPROVED):
        code, message = _UNPROVED, _UNPROVED_SENTENCE.format(count=len(unproved))
    return {
        "outcome": "complete" if is_complete else "incomplete",
        "is_final": not unproved,
        "code": code,
        "message": message,
        "cancels": cancels,
        "left_volume": plain(left_volume),
        "orders": list(orders),
    }


def _entry(intent: OrderIntent) -> dict[str, Any]:
    return {
        "client_order_id": intent.cl_ord_id,
        "exchange_order_id": intent.txid,
        "side": intent.side,
        "state": intent.state,
        "code": intent.state_code,
        "volume": plain(intent.volume),
        "filled_volume": plain(intent.filled_volume),
        "filled_cost": plain(intent.filled_cost),
        "average_price": _price(intent.filled_cost, intent.filled_volume),
        "fee": plain(intent.filled_fee),
        "sent_at": intent.sent_at.isoformat() if intent.sent_at else None,
        "ended_at": intent.ended_at.isoformat() if intent.ended_at else None,
    }


def _price(cost: Decimal, volume: Decimal) -> str | None:
    """The average price, in quote for one base; None without a fill."""
    return plain((cost / volume).quantize(Decimal("1e-8"))) if volume else None
