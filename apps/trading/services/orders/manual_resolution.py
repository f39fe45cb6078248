"""A person's word on an order whose evidence contradicts itself."""

from datetime import datetime

from django.db import transaction

from apps.core.errors import Conflict, NotFound
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.services.orders.lifecycle import intent_accepted, intent_end


class OrderNotInDoubt(Conflict):
    """Only an order that waits for a person can be judged by one."""

    code = "order_not_in_doubt"


@transaction.atomic
def order_judge(*, cl_ord_id: str, txid: str | None, operator: str, because: str, now: datetime) -> OrderIntent:
    """Says that the order is the exchange's `txid`, whose fills are then booked, or, without one, was never placed.

    The operator's name and reason become evidence. Raises NotFound, OrderNotInDoubt, ContradictoryEvidence.
    """
    intent = OrderIntent.objects.filter(cl_ord_id=cl_ord_id).first()
    if intent is None:
        raise NotFound(f"There is no order {cl_ord_id}.")
    if intent.state != IntentState.NEEDS_HUMAN:
        raise OrderNotInDoubt(f"The order {cl_ord_id} is {intent.state}; nobody needs to judge it.")
    if txid is not None:
        return intent_accepted(intent_id=intent.id, txid=txid, source=f"{operator}: {because}", now=now)
    if intent.txid:
        raise OrderNotInDoubt(f"The exchange has named the order {cl_ord_id}: it was placed as {intent.txid}.")
    evidence = {"grade": "person", "operator": operator, "because": because}
    return intent_end(
        intent_id=intent.id, state=IntentState.NOT_PLACED, code="judged_absent", evidence=evidence, now=now
    )
