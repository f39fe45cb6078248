"""What people stated about orders whose evidence contradicts itself."""

from uuid import UUID

from django.db import models
from django.db.models import F, Q

from apps.core.ids import new_id
from apps.trading.models.orders import OrderIntent


class ResolutionState(models.TextChoices):
    REQUESTED = "requested", "Waits for the bot service, which asks the exchange first"
    APPLIED = "applied", "The exchange does not contradict it; the order follows it"
    REFUSED = "refused", "Not stored as the order's outcome; the message says why"


class OrderResolution(models.Model):
    """One person's entry about one order: placed under `exchange_order_id`, or, where that is empty, never placed.

    `operator_id` identifies the person, `operator` is the name. `corrects` is an applied entry that this one replaces;
    only another person may do that. `code`, `message` and `details` are the result of a refused entry.
    """

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    order = models.ForeignKey(OrderIntent, on_delete=models.PROTECT, related_name="resolutions")
    exchange_order_id = models.CharField(max_length=40, blank=True)
    operator_id = models.CharField(max_length=160)
    operator = models.CharField(max_length=120)
    because = models.CharField(max_length=500)
    corrects = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="corrections")
    corrected_operator_id = models.CharField(max_length=160, blank=True)
    state = models.CharField(max_length=9, choices=ResolutionState.choices, default=ResolutionState.REQUESTED)
    code = models.CharField(max_length=80, blank=True)
    message = models.TextField(blank=True)
    details = models.JSONField(default=dict)
    requested_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "trading_order_resolution"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=ResolutionState.values), name="trading_resolution_state"),
            models.CheckConstraint(
                condition=~Q(because="") & ~Q(operator="") & ~Q(operator_id=""), name="trading_resolution_has_a_reason"
            ),
            models.CheckConstraint(
                condition=Q(state=ResolutionState.REQUESTED, finished_at=None)
                | (~Q(state=ResolutionState.REQUESTED) & Q(finished_at__isnull=False)),
                name="trading_resolution_finished",
            ),
            models.CheckConstraint(
                condition=Q(corrects=None, corrected_operator_id="")
                | (Q(corrects__isnull=False) & ~Q(operator_id=F("corrected_operator_id"))),
                name="trading_resolution_second_person",
            ),
            models.UniqueConstraint(
                fields=["order"], condition=Q(state=ResolutionState.REQUESTED), name="trading_resolution_one_at_a_time"
            ),
            models.UniqueConstraint(
                fields=["corrects"],
                condition=Q(state=ResolutionState.APPLIED),
                name="trading_resolution_corrected_once",
            ),
        ]

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
