"""Manual resolution of an order in state needs_human."""

from datetime import datetime

from django.db import transaction

from apps.core.errors import Conflict, NotFound
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.services.orders.lifecycle import intent_accepted, intent_end


class OrderNotInDoubt(Conflict):
    """The order does not wait for manual resolution, or the resolution contradicts what the exchange said."""

    code = "order_not_in_doubt"


@transaction.atomic
def order_resolve(
    *, client_order_id: str, exchange_order_id: str | None, operator: str, because: str, now: datetime
) -> OrderIntent:
    """Resolves the order as placed under `exchange_order_id`, or, where that is None, as never placed.

    The reconciler then takes over the fills of a placed order. The operator's name and reason become evidence. Raises
    NotFound, OrderNotInDoubt, ContradictoryEvidence.
    """
    intent = OrderIntent.objects.filter(cl_ord_id=client_order_id).first()
    if intent is None:
        raise NotFound(f"There is no order {client_order_id}.")
    if intent.state != IntentState.NEEDS_HUMAN:
        raise OrderNotInDoubt(f"The order {client_order_id} is {intent.state}; it needs no manual resolution.")
    if exchange_order_id is not None:
        source = f"{operator}: {because}"
        return intent_accepted(intent_id=intent.id, exchange_order_id=exchange_order_id, source=source, now=now)
    if intent.txid:
        raise OrderNotInDoubt(f"The exchange has named the order {client_order_id}: it was placed as {intent.txid}.")
    evidence = {"grade": "person", "operator": operator, "because": because}
    return intent_end(
        intent_id=intent.id, state=IntentState.NOT_PLACED, code="judged_absent", evidence=evidence, now=now
    )
