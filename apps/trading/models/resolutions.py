"""What people stated about orders whose evidence contradicts itself."""

from django.db import models

from apps.trading.models.orders import OrderIntent
from apps.trading.models.staff_entries import EntryState, StaffEntry, entry_constraints


class OrderResolution(StaffEntry):
    """One person's entry about one order: placed under `exchange_order_id`, or, where that is empty, never placed.

    With `corrects` it replaces an applied entry. `code`, `message` and `details` are the result of a refused entry.
    """

    order = models.ForeignKey(OrderIntent, on_delete=models.PROTECT, related_name="resolutions")
    exchange_order_id = models.CharField(max_length=40, blank=True)
    state = models.CharField(
        max_length=9,
        default=EntryState.REQUESTED,
        choices=[
            (EntryState.REQUESTED, "Waits for the bot service, which asks the exchange first"),
            (EntryState.APPLIED, "The exchange does not contradict it; the order follows it"),
            (EntryState.REFUSED, "Not stored as the order's outcome; the message says why"),
        ],
    )
    details = models.JSONField(default=dict)

    class Meta:
        db_table = "trading_order_resolution"
        constraints = entry_constraints("trading_resolution", about="order")

    def __str__(self) -> str:
        return f"{self.order_id}: {self.outcome}"

    @property
    def outcome(self) -> str:
        return f"placed as {self.exchange_order_id}" if self.exchange_order_id else "never placed"


class OrderToResolve(OrderIntent):
    """An order that needs a person, or that a person has resolved; its page on the staff site takes the entries."""

    class Meta:
        proxy = True
        verbose_name = "order that needs a person"
        verbose_name_plural = "orders that need a person"
