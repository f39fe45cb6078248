"""Services of onboarding: the only code that writes its tables."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.events.store.publish import publish
from apps.messages.user import OnboardingCompleted, OnboardingStepCompleted
from apps.onboarding import step_checks
from apps.onboarding.errors import NotConnected, NotStarted, OnboardingAlreadyCompleted, StepOutOfOrder, TermsOutdated
from apps.onboarding.models import Onboarding, OnboardingStep
from apps.onboarding.risk import risk_profile
from apps.onboarding.selectors import ORDER, TERMS_VERSION, OnboardingState, onboarding_get

Name = OnboardingStep.Name
Answer = dict[str, Any]


@transaction.atomic
def step_complete(*, user_id: UUID, name: OnboardingStep.Name, answer: Answer, now: datetime) -> OnboardingState:
    """Completes a step, or replaces its answer. The last step completes the onboarding and publishes that, once.

    Raises StepOutOfOrder, OnboardingAlreadyCompleted, TermsOutdated, NotConnected, NotStarted.
    """
    onboarding = _locked(user_id, now)
    if onboarding.completed_at is not None:
        raise OnboardingAlreadyCompleted()
    _require_earlier_steps(onboarding, name)
    kept = _checked(name, answer, user_id)
    OnboardingStep.objects.update_or_create(
        onboarding=onboarding, name=name, defaults={"answer": kept, "completed_at": now}
    )
    terms_version = TERMS_VERSION if name is Name.TERMS else None
    publish(OnboardingStepCompleted(user_id=user_id, step=name.value, terms_version=terms_version), now=now)
    if OnboardingStep.objects.filter(onboarding=onboarding).count() == len(ORDER):
        onboarding.completed_at = now
        onboarding.save(update_fields=["completed_at"])
        publish(OnboardingCompleted(user_id=user_id, completed_at=now), now=now)
    return onboarding_get(user_id=user_id)


def onboarding_erase(user_id: UUID) -> None:
    """Deletes a user's onboarding with every answer."""
    Onboarding.objects.filter(pk=user_id).delete()


def _locked(user_id: UUID, now: datetime) -> Onboarding:
    Onboarding.objects.bulk_create([Onboarding(user_id=user_id, started_at=now)], ignore_conflicts=True)
    return Onboarding.objects.select_for_update().get(pk=user_id)


def _require_earlier_steps(onboarding: Onboarding, name: OnboardingStep.Name) -> None:
    done = set(OnboardingStep.objects.filter(onboarding=onboarding).values_list("name", flat=True))
    missing = next((earlier for earlier in ORDER[: ORDER.index(name)] if earlier not in done), None)
    if missing is not None:
        raise StepOutOfOrder(f"Do the step {missing.value} first.", next_step=missing.value)


def _checked(name: OnboardingStep.Name, answer: Answer, user_id: UUID) -> Answer:
    """Checks the answer and returns what is stored of it."""
    match name:
        case Name.TERMS if answer["version"] != TERMS_VERSION:
            raise TermsOutdated(f"The terms in force are version {TERMS_VERSION}.", terms_version=TERMS_VERSION)
        case Name.RISK_PROFILE:
            return {**answer, "profile": risk_profile(**answer).value}
        case Name.EXCHANGE_KEY if not step_checks.key_is_connected(user_id=user_id, **answer):
            raise NotConnected()
        case Name.FIRST_BOT if not step_checks.bot_was_started(user_id=user_id, **answer):
            raise NotStarted()
    return {key: str(value) if isinstance(value, UUID) else value for key, value in answer.items()}
