"""Orders that need a person, on the staff site: their evidence, and a form for what a person found out.

The staff site has no keys, so the bot service asks the exchange and applies the entry; the page shows the result.
"""

import json
from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.admin import ReadOnlyAdmin
from apps.core.staff.references import Related
from apps.trading.entries_admin import StaffEntryForm, TakesEntries
from apps.trading.models.order_states import IntentState
from apps.trading.models.resolutions import OrderResolution, OrderToResolve
from apps.trading.models.staff_entries import EntryState, StaffEntry
from apps.trading.services.orders.manual_resolution import resolution_request
from apps.trading.services.orders.staff_entries import Operator

PLACED, NEVER_PLACED = "placed", "never_placed"


class EntryForm(StaffEntryForm):
    outcome = forms.ChoiceField(
        choices=[(PLACED, "It was placed"), (NEVER_PLACED, "It was never placed")], widget=forms.RadioSelect
    )
    placed_as = forms.RegexField(
        r"^[A-Za-z0-9-]+$",
        required=False,
        max_length=40,
        label="Exchange order id",
        help_text="Of an order that was placed, from the account's own pages.",
    )
    because = forms.CharField(max_length=500, label="What was looked at", widget=forms.Textarea(attrs={"rows": 2}))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        outcome, placed_as = cleaned.get("outcome"), cleaned.get("placed_as")
        if outcome == PLACED and not placed_as and "placed_as" not in self.errors:
            self.add_error("placed_as", "Enter the exchange's id of the order.")
        if outcome == NEVER_PLACED and placed_as:
            self.add_error("placed_as", "An order that was never placed has no id. Leave it empty.")
        return cleaned


@admin.register(OrderToResolve)
class OrderToResolveAdmin(TakesEntries):
    """Enter what became of the order. The exchange is asked before the entry is applied; another person corrects it."""

    form = EntryForm
    list_display = ("cl_ord_id", "bot_id", "pair", "side", "volume", "price", "state", "state_code", "planned_at")
    list_filter = ("state", "side")
    search_fields = ("=cl_ord_id", "=txid", "=bot_id", "=id", "=credential_id")
    related = (
        Related("Order", "trading.orderintent"),
        Related("Fills", "trading.fill"),
        Related("Steps and their events", "bots.orderstep"),
        Related("Paper exchange", "paper.order", "txid"),
    )
    ordering = ("-planned_at",)
    shown = ("cl_ord_id", "txid", "bot_id", "credential_id", "pair", "side", "kind", "volume", "price",
             "filled_volume", "state", "state_code", "planned_at", "sent_at", "deadline", "what_was_observed",
             "entries", "see_also")  # fmt: skip
    heading, asked = "What became of it", ("outcome", "placed_as", "because")
    entered = "Entered. The exchange is being asked; the result appears under Entries below."

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrderToResolve]:
        applied = OrderResolution.objects.filter(order=OuterRef("pk"), state=EntryState.APPLIED)
        return super().get_queryset(request).filter(Q(state=IntentState.NEEDS_HUMAN) | Exists(applied))

    def enter(self, obj: Any, data: dict[str, Any], operator: Operator) -> None:
        resolution_request(
            order=obj,
            exchange_order_id=data["placed_as"] if data["outcome"] == PLACED else "",
            operator=operator,
            because=data["because"],
            now=timezone.now(),
        )

    @admin.display(description="evidence")
    def what_was_observed(self, order: OrderToResolve) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(order.evidence, indent=2))

    def entries_with_results(self, obj: Any) -> Iterator[tuple[StaffEntry, str]]:
        for each in obj.resolutions.order_by("requested_at"):
            yield each, f"{each.state}{f' ({each.code}): {each.message}' if each.message else ''}"


@admin.register(OrderResolution)
class OrderResolutionAdmin(ReadOnlyAdmin):
    list_display = ("requested_at", "order_id", "outcome", "operator", "because", "state", "code", "finished_at")
    list_filter = ("state", "code", "requested_at")
    search_fields = ("=id", "order__cl_ord_id", "operator", "because", "exchange_order_id")
    ordering = ("-requested_at",)
    fields = ("order", "exchange_order_id", "operator_id", "operator", "because", "corrects", "corrected_operator_id",
              "state", "code", "message", "details", "requested_at", "finished_at")  # fmt: skip
