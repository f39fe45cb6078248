from typing import Any

from rest_framework import serializers

from apps.bots.models import Bot, BotState, Interval
from apps.bots.selectors.bots import BotView
from apps.core.api.fields import NAME, OBJECT, ONE_LINE, AmountField, ParametersField
from apps.core.api.requests import RequestSerializer
from apps.core.terms import Mode


class StrategySerializer(serializers.Serializer[Any]):
    name = serializers.CharField(source="strategy")
    title = serializers.CharField()
    description = serializers.CharField()
    parameters = serializers.SerializerMethodField(help_text="JSON Schema (2020-12).")

    @OBJECT
    def get_parameters(self, strategy: Any) -> Any:
        return strategy.model_json_schema()


class StrategyListSerializer(serializers.Serializer[Any]):
    results = StrategySerializer(many=True)


class BotDefinitionSerializer(RequestSerializer):
    name = serializers.CharField(max_length=80, validators=[ONE_LINE])
    credential_id = serializers.UUIDField(help_text="The exchange key that the bot trades with; fixed once it has run.")
    mode = serializers.ChoiceField(choices=Mode.choices, help_text="The key's mode; never changes.")
    pair = serializers.CharField(max_length=20, validators=[NAME], help_text="Fixed once the bot has run.")
    strategy = serializers.CharField(max_length=60, validators=[NAME])
    parameters = ParametersField()
    interval_minutes = serializers.ChoiceField(choices=Interval.choices)
    quote_budget = AmountField(help_text="In the pair's quote asset.")


class BotCreateSerializer(BotDefinitionSerializer):
    mode = serializers.ChoiceField(choices=Mode.choices, required=False, default=None)
    parameters = ParametersField(required=False, default=dict)
    interval_minutes = serializers.ChoiceField(choices=Interval.choices, required=False, default=Interval.HOUR)


class BotChangeSerializer(BotDefinitionSerializer):
    version = serializers.IntegerField(
        required=False,
        min_value=1,
        help_text="The version that the change is made for; 409 where it is another by now.",
    )


class BotCloneSerializer(BotDefinitionSerializer):
    """Values that differ from the cloned bot's. `name` is the old one with "(copy)" where it is left out."""


class BotSerializer(BotDefinitionSerializer):
    id = serializers.UUIDField()
    version = serializers.IntegerField(help_text="Grows with every change; a run keeps the one it was started with.")
    state = serializers.ChoiceField(choices=BotState.choices)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def to_representation(self, view: BotView) -> dict[str, Any]:
        bot: Bot = view.bot
        fields = ("id", *BotDefinitionSerializer._declared_fields, "version", "created_at", "updated_at")
        return super().to_representation({**{name: getattr(bot, name) for name in fields}, "state": view.state})
