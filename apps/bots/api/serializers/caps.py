from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers

from apps.core.api.fields import AmountField
from apps.core.api.requests import QuerySerializer, RequestSerializer

_ASSET = RegexValidator(r"^[A-Z0-9.]{2,12}$", "This is not an asset such as USD.")


class CapFilterSerializer(QuerySerializer):
    asset = serializers.CharField(required=False, default="USD", validators=[_ASSET], help_text="A quote asset.")
    bot_id = serializers.UUIDField(required=False, default=None, help_text="Without it, the caps of all your bots.")


class CapChangeSerializer(RequestSerializer):
    asset = serializers.CharField(validators=[_ASSET], help_text="A quote asset.")
    bot_id = serializers.UUIDField(required=False, default=None, help_text="Without it, the caps of all your bots.")
    largest_order = AmountField(required=False, min_value=0)
    largest_position = AmountField(required=False, min_value=0)
    largest_budget = AmountField(required=False, min_value=0)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not any(name.startswith("largest_") for name in attrs):
            raise serializers.ValidationError("Name at least one cap.")
        return attrs


class CapAmountsSerializer(serializers.Serializer[Any]):
    largest_order = AmountField(help_text="The highest cost of one purchase.")
    largest_position = AmountField(help_text="What a bot may hold and have on order.")
    largest_budget = AmountField()


class CapsSerializer(serializers.Serializer[Any]):
    """Caps on live trading in one quote asset."""

    asset = serializers.CharField()
    bot_id = serializers.UUIDField(allow_null=True)
    own = CapAmountsSerializer(help_text="What is set; the installation's defaults where nothing is.")
    in_force = CapAmountsSerializer(help_text="What holds now: smaller in the first seven days of live trading.")
    first_days_end_at = serializers.DateTimeField(
        allow_null=True, help_text="When the first seven days end; null before the first live start."
    )
