"""Changes of the orders' read models by a batch of events, written with a constant number of statements."""

from dataclasses import dataclass, field
from uuid import UUID

from apps.bots.models import BotOrder, OrderStep
from apps.messages.envelope import Envelope
from apps.messages.orders import OrderFacts

_ORDER_FIELDS = [each.attname for each in BotOrder._meta.concrete_fields]
_CHANGING_FIELDS = [name for name in _ORDER_FIELDS if name != "order_id"]
_TOLD_FIELDS = [name for name in _ORDER_FIELDS if name != "seq"]


@dataclass
class OrderChanges:
    """Collects the orders' events; `write` saves them. The order of their arrival does not matter."""

    newest: dict[UUID, BotOrder] = field(default_factory=dict)
    steps: list[OrderStep] = field(default_factory=list)

    def add(self, message: OrderFacts, envelope: Envelope) -> None:
        seq = envelope.aggregate_seq
        self.steps.append(
            OrderStep(
                event_id=envelope.event_id,
                order_id=message.order_id,
                seq=seq,
                kind=envelope.event_type,
                state=message.state,
                code=message.code,
                filled_volume=message.filled_volume,
                evidence=list(message.evidence),
                at=message.changed_at,
            )
        )
        known = self.newest.get(message.order_id)
        if known is None or seq > known.seq:
            told = {name: getattr(message, name) for name in _TOLD_FIELDS}
            self.newest[message.order_id] = BotOrder(seq=seq, **told)

    def write(self) -> None:
        """Saves all changes. The caller holds the locks of the bots' statuses: one consumer at a time writes them."""
        OrderStep.objects.bulk_create(self.steps)
        stored = dict(BotOrder.objects.filter(order_id__in=list(self.newest)).values_list("order_id", "seq"))
        newer = [order for order in self.newest.values() if order.seq > stored.get(order.order_id, 0)]
        BotOrder.objects.bulk_create(
            newer, update_conflicts=True, unique_fields=["order_id"], update_fields=_CHANGING_FIELDS
        )
