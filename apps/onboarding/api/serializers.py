"""What each step asks, and the state of the way."""

from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework import serializers

from apps.core.api.requests import RequestSerializer
from apps.onboarding.models import OnboardingStep
from apps.onboarding.risk import Horizon, Reaction


class ProfileStepSerializer(RequestSerializer):
    country = serializers.CharField(
        validators=[RegexValidator(r"^[A-Z]{2}$", "Two capital letters (ISO 3166-1).")], help_text="ISO 3166-1 alpha-2."
    )
    experience = serializers.ChoiceField(choices=["none", "some", "much"], help_text="With trading.")
    is_adult = serializers.BooleanField()

    def validate_is_adult(self, value: bool) -> bool:
        return _must_be_true(value, "Only adults may trade.")


class TermsStepSerializer(RequestSerializer):
    version = serializers.CharField(max_length=20, help_text="`terms_version` of GET /onboarding.")
    accepted = serializers.BooleanField()

    def validate_accepted(self, value: bool) -> bool:
        return _must_be_true(value, "The terms have to be accepted.")


class RiskProfileStepSerializer(RequestSerializer):
    acceptable_loss_percent = serializers.IntegerField(min_value=0, max_value=100, help_text="Of the money, in a year.")
    horizon = serializers.ChoiceField(choices=list(Horizon), help_text="How long the money can stay invested.")
    reaction = serializers.ChoiceField(choices=list(Reaction), help_text="To a fall of 20 % in a week.")


class ExchangeKeyStepSerializer(RequestSerializer):
    credential_id = serializers.UUIDField(help_text="A key that you have connected.")


class FirstBotStepSerializer(RequestSerializer):
    bot_id = serializers.UUIDField(help_text="A bot that you have started.")


STEP_SERIALIZERS: dict[OnboardingStep.Name, type[RequestSerializer]] = {
    OnboardingStep.Name.PROFILE: ProfileStepSerializer,
    OnboardingStep.Name.TERMS: TermsStepSerializer,
    OnboardingStep.Name.RISK_PROFILE: RiskProfileStepSerializer,
    OnboardingStep.Name.EXCHANGE_KEY: ExchangeKeyStepSerializer,
    OnboardingStep.Name.FIRST_BOT: FirstBotStepSerializer,
}

AnyStep = PolymorphicProxySerializer(
    component_name="OnboardingAnswer", serializers=list(STEP_SERIALIZERS.values()), resource_type_field_name=None
)


class StepStateSerializer(serializers.Serializer[Any]):
    name = serializers.ChoiceField(choices=OnboardingStep.Name.values)
    state = serializers.ChoiceField(choices=["done", "current", "waiting"])
    completed_at = serializers.DateTimeField(allow_null=True)
    answer = serializers.DictField(allow_null=True, help_text="What was said, and the risk profile that follows.")


class OnboardingStateSerializer(serializers.Serializer[Any]):
    steps = StepStateSerializer(many=True)
    current = serializers.CharField(allow_null=True, help_text="The next step to do; null once everything is done.")
    completed_at = serializers.DateTimeField(allow_null=True)
    terms_version = serializers.CharField()


def _must_be_true(value: bool, otherwise: str) -> bool:
    if not value:
        raise serializers.ValidationError(otherwise)
    return value
