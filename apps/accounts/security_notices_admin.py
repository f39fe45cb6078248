"""Security notices on the staff site: staff look at them, and acknowledge each with a reason."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.models import SecurityNotice
from apps.accounts.services.security_notices import security_notice_acknowledge
from apps.core.admin import ModelAdmin

if TYPE_CHECKING:
    NoticeForm = forms.ModelForm[SecurityNotice]
else:
    NoticeForm = forms.ModelForm


class AcknowledgeForm(NoticeForm):
    reason = forms.CharField(
        max_length=500, label="Acknowledge it because", help_text="What was looked at, and what was done about it."
    )

    class Meta:
        model = SecurityNotice
        fields = ()


@admin.register(SecurityNotice)
class SecurityNoticeAdmin(ModelAdmin):
    """Fill in why and save a notice to acknowledge it. What happens after that is a new notice."""

    form = AcknowledgeForm
    list_display = ("kind", "severity", "user_id", "count", "first_at", "last_at", "mailed_at", "acknowledged_at")
    list_filter = (("acknowledged_at", admin.EmptyFieldListFilter), "severity", "kind")
    search_fields = ("=user_id", "=first_event_id", "=last_event_id")
    ordering = ("-last_at",)
    show_full_result_count = False
    list_per_page = 50
    _SHOWN = ("kind", "severity", "user_id", "count", "first_at", "last_at", "first_event_id", "last_event_id",
              "mailed_at", "acknowledged_at", "acknowledged_by", "because")  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[SecurityNotice]:
        return super().get_queryset(request).filter(is_raised=True)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        can_be_acknowledged = obj is not None and self.has_change_permission(request, obj)
        return (*self._SHOWN, "reason") if can_be_acknowledged else self._SHOWN

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self._SHOWN

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.acknowledged_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: SecurityNotice, form: Any, change: bool) -> None:
        staff: Any = request.user
        security_notice_acknowledge(
            notice_id=obj.id, staff_id=staff.id, because=form.cleaned_data["reason"], now=timezone.now()
        )
