"""What onboarding holds of a user, for the export."""

from collections.abc import Iterator
from uuid import UUID

from apps.core.personal_data import Row
from apps.onboarding.models import Onboarding, OnboardingStep


def onboarding_rows(user_id: UUID) -> Iterator[Row]:
    """The onboarding, with its answers."""
    for onboarding in Onboarding.objects.filter(user_id=user_id).values("started_at", "completed_at"):
        steps = OnboardingStep.objects.filter(onboarding_id=user_id).order_by("completed_at")
        yield {**onboarding, "steps": list(steps.values("name", "answer", "completed_at"))}
