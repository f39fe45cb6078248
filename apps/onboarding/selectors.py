"""Reads of onboarding."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.onboarding.models import Onboarding, OnboardingStep

# Version of the terms that the step `terms` must accept.
TERMS_VERSION = "2026-11"

ORDER: tuple[OnboardingStep.Name, ...] = tuple(OnboardingStep.Name)


@dataclass(frozen=True)
class StepState:
    """`state` is done, current (the next step) or waiting."""

    name: str
    state: str
    completed_at: datetime | None
    answer: dict[str, Any] | None


@dataclass(frozen=True)
class OnboardingState:
    """Progress of a user. `current` is the next step; None once all are done."""

    steps: list[StepState]
    current: str | None
    completed_at: datetime | None
    terms_version: str


def onboarding_get(*, user_id: UUID) -> OnboardingState:
    """All steps with their state. For a user without a row, the first step is current."""
    onboarding = Onboarding.objects.filter(pk=user_id).prefetch_related("steps").first()
    done = {step.name: step for step in onboarding.steps.all()} if onboarding else {}
    current = next((name for name in ORDER if name not in done), None)
    return OnboardingState(
        steps=[_state_of(name, done.get(name), is_current=name == current) for name in ORDER],
        current=current.value if current else None,
        completed_at=onboarding.completed_at if onboarding else None,
        terms_version=TERMS_VERSION,
    )


def _state_of(name: OnboardingStep.Name, step: OnboardingStep | None, *, is_current: bool) -> StepState:
    if step is None:
        return StepState(name.value, "current" if is_current else "waiting", None, None)
    return StepState(name.value, "done", step.completed_at, step.answer)
