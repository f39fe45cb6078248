"""Onboarding on the staff site, read-only: progress of users, with their answers."""

from django.contrib import admin

from apps.core.admin import LargeTableAdmin, ReadOnlyInline
from apps.onboarding.models import Onboarding, OnboardingStep


class OnboardingStepInline(ReadOnlyInline):
    model = OnboardingStep
    fields = ("name", "answer", "completed_at")


@admin.register(Onboarding)
class OnboardingAdmin(LargeTableAdmin):
    list_display = ("user_id", "started_at", "completed_at")
    list_filter = (("completed_at", admin.EmptyFieldListFilter),)
    search_help_text = "A whole id, or an e-mail address"
    inlines = (OnboardingStepInline,)
