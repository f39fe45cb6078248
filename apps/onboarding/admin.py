"""Onboarding on the staff site: where people stand. Nothing can be changed here."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from apps.core.admin import ReadOnlyAdmin
from apps.onboarding.models import Onboarding, OnboardingStep


class OnboardingStepInline(admin.TabularInline):  # type: ignore[type-arg]
    model = OnboardingStep
    extra = 0
    can_delete = False
    fields = readonly_fields = ("name", "answer", "completed_at")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Onboarding)
class OnboardingAdmin(ReadOnlyAdmin):
    list_display = ("user_id", "started_at", "completed_at")
    list_filter = ("completed_at",)
    search_fields = ("=user_id",)
    ordering = ("-started_at",)
    inlines = (OnboardingStepInline,)
