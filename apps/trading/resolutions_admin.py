"""Orders that need a person, on the staff site: their evidence, and a form for what a person found out.

The staff site has no keys, so the bot service asks the exchange and applies the entry; the page shows the result.
"""

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.admin import ModelAdmin, ReadOnlyAdmin
from apps.core.errors import PlatformError
from apps.trading.models.order_states import IntentState
from apps.trading.models.resolutions import OrderResolution, OrderToResolve, ResolutionState
from apps.trading.services.orders.manual_resolution import Operator, resolution_request

if TYPE_CHECKING:
    ResolutionForm = forms.ModelForm[OrderToResolve]
else:
    ResolutionForm = forms.ModelForm

PLACED, NEVER_PLACED = "placed", "never_placed"


class EntryForm(ResolutionForm):
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

    class Meta:
        model = OrderToResolve
        fields = ()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        outcome, placed_as = cleaned.get("outcome"), cleaned.get("placed_as")
        if outcome == PLACED and not placed_as and "placed_as" not in self.errors:
            self.add_error("placed_as", "Enter the exchange's id of the order.")
        if outcome == NEVER_PLACED and placed_as:
            self.add_error("placed_as", "An order that was never placed has no id. Leave it empty.")
        return cleaned

    def _get_validation_exclusions(self) -> set[str]:
        # The order itself is not changed here.
        return {field.name for field in OrderToResolve._meta.fields}


@admin.register(OrderToResolve)
class OrderToResolveAdmin(ModelAdmin):
    """Enter what became of the order. The exchange is asked before the entry is applied; another person corrects it."""

    form = EntryForm
    list_display = ("cl_ord_id", "bot_id", "pair", "side", "volume", "price", "state", "state_code", "planned_at")
    list_filter = ("state", "side", "pair")
    search_fields = ("cl_ord_id", "txid", "=bot_id", "=id", "=credential_id")
    ordering = ("-planned_at",)
    show_full_result_count = False
    _SHOWN = ("cl_ord_id", "txid", "bot_id", "credential_id", "pair", "side", "kind", "volume", "price",
              "filled_volume", "state", "state_code", "planned_at", "sent_at", "deadline", "what_was_observed",
              "entries")  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrderToResolve]:
        applied = OrderResolution.objects.filter(order=OuterRef("pk"), state=ResolutionState.APPLIED)
        return super().get_queryset(request).filter(Q(state=IntentState.NEEDS_HUMAN) | Exists(applied))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown: list[Any] = [(None, {"fields": self._SHOWN})]
        if self.has_change_permission(request, obj):
            shown.append(("What became of it", {"fields": ("outcome", "placed_as", "because")}))
        return shown

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self._SHOWN

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        staff: Any = request.user
        data = form.cleaned_data
        try:
            resolution_request(
                order=obj,
                exchange_order_id=data["placed_as"] if data["outcome"] == PLACED else "",
                operator=Operator(id=str(staff.id), name=staff.name or staff.email),
                because=data["because"],
                now=timezone.now(),
            )
        except PlatformError as error:
            obj.refusal = error.message

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        refusal = getattr(obj, "refusal", "")
        if refusal:
            messages.error(request, refusal)
        else:
            messages.success(request, "Entered. The exchange is being asked; the result appears under Entries below.")
        return HttpResponseRedirect(request.get_full_path())

    @admin.display(description="evidence")
    def what_was_observed(self, order: OrderToResolve) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(order.evidence, indent=2))

    @admin.display(description="entries")
    def entries(self, order: OrderToResolve) -> SafeString:
        lines = [
            f"{each.requested_at:%Y-%m-%d %H:%M:%S} {each.operator}: {each.outcome}, because {each.because} "
            f"→ {each.state}{f' ({each.code}): {each.message}' if each.message else ''}"
            for each in order.resolutions.order_by("requested_at")
        ]
        return format_html("<pre>{}</pre>", "\n".join(lines) or "None so far.")


@admin.register(OrderResolution)
class OrderResolutionAdmin(ReadOnlyAdmin):
    list_display = ("requested_at", "order_id", "outcome", "operator", "because", "state", "code", "finished_at")
    list_filter = ("state", "code", "requested_at")
    search_fields = ("=id", "order__cl_ord_id", "operator", "because", "exchange_order_id")
    ordering = ("-requested_at",)
