"""What may trade, on the staff site: the live switch, and the switches of bots. Halts: `apps/bots/halts_admin.py`."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.core.admin import LargeTableAdmin, ModelAdmin, ReadOnlyAdmin
from apps.risk.models import BotSwitch, Cap, LiveSwitch
from apps.risk.services.live_switch import live_switch_ensure, live_switch_set


class LiveSwitchForm(forms.ModelForm):  # type: ignore[type-arg]
    """Every change needs its own reason."""

    is_on = forms.BooleanField(
        required=False,
        label="Live trading is on",
        help_text="Takes effect at once for every order; MUCKARD_LIVE_TRADING must be on as well.",
    )
    because = forms.CharField(max_length=500, label="Reason", widget=forms.TextInput(attrs={"size": 100}))

    class Meta:
        model = LiveSwitch
        fields = ("is_on",)


@admin.register(LiveSwitch)
class LiveSwitchAdmin(ModelAdmin):
    """Operators and admins turn live trading on and off, with a reason. Each change is an event with their name."""

    form = LiveSwitchForm
    list_display = ("__str__", "reason", "changed_by", "changed_at")
    fields = ("is_on", "because", "reason", "changed_by", "changed_at")
    readonly_fields = ("reason", "changed_by", "changed_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        live_switch_ensure(now=timezone.now())
        return super().changelist_view(request, extra_context)

    def save_model(self, request: HttpRequest, obj: LiveSwitch, form: Any, change: bool) -> None:
        staff: Any = request.user
        live_switch_set(
            is_on=form.cleaned_data["is_on"],
            reason=form.cleaned_data["because"],
            operator=staff.name or staff.email,
            operator_id=staff.id,
            now=timezone.now(),
        )


@admin.register(BotSwitch)
class BotSwitchAdmin(LargeTableAdmin):
    """Stops and deletions set them."""

    list_display = ("bot_id", "stop_requested_at", "deleted_at")


@admin.register(Cap)
class CapAdmin(ReadOnlyAdmin):
    """Users' own caps on live trading. Where a user has none, the installation's hold."""

    list_display = ("asset", "user_id", "bot_id", "largest_order", "largest_position", "largest_budget", "changed_at")
    search_fields = ("=user_id", "=bot_id")
    ordering = ("-changed_at",)
