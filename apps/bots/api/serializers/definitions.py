from typing import Any

from rest_framework import serializers

from apps.bots.api.serializers.status import StatusSerializer
from apps.bots.models import Bot, BotState, Interval
from apps.bots.selectors.bots import BotView
from apps.core.api.answers import shown
from apps.core.api.fields import NAME, OBJECT, ONE_LINE, AmountField, ParametersField
from apps.core.api.requests import QuerySerializer, RequestSerializer
from apps.core.money import LARGEST_QUOTE
from apps.core.terms import Mode


class StrategySerializer(serializers.Serializer[Any]):
    name = serializers.CharField(source="strategy")
    title = serializers.CharField()
    description = serializers.CharField(help_text="What it does.")
    loses_when = serializers.CharField(help_text='When it loses: continues "It loses when".')
    parameters = serializers.SerializerMethodField(help_text="JSON Schema (2020-12).")

    @OBJECT
    def get_parameters(self, strategy: Any) -> Any:
        return strategy.model_json_schema()


class StrategyListSerializer(serializers.Serializer[Any]):
    results = StrategySerializer(many=True)


class RiskLimitsSerializer(RequestSerializer):
    """Limits of the bot's orders. One that is left out keeps its value; the default holds in a new bot."""

    price_band_fraction = AmountField(
        required=False, help_text="How far the best price may be from the last close, as a fraction of it: 0.1."
    )
    largest_order_quote = AmountField(
        required=False,
        allow_null=True,
        max_value=LARGEST_QUOTE,
        help_text="What one purchase may cost, in the quote asset. Null: no limit.",
    )
    largest_position_quote = AmountField(
        required=False,
        allow_null=True,
        max_value=LARGEST_QUOTE,
        help_text="What the position may be worth, in the quote asset. Null: no limit.",
    )
    orders_per_minute = serializers.IntegerField(required=False, help_text="Purchases in 60 seconds: 10.")
    daily_loss_fraction = AmountField(
        required=False, help_text="Loss since the UTC day began, as a fraction of the budget: 0.2."
    )
    drawdown_fraction = AmountField(
        required=False, help_text="Loss since the highest profit, as a fraction of the budget: 0.5."
    )
    market_data_age_seconds = serializers.IntegerField(required=False, help_text="How old a price may be: 10.")


class BotDefinitionSerializer(RequestSerializer):
    name = serializers.CharField(max_length=80, validators=[ONE_LINE])
    credential_id = serializers.UUIDField(help_text="The exchange key that the bot trades with; fixed once it has run.")
    mode = serializers.ChoiceField(choices=Mode.choices, help_text="The key's mode; never changes.")
    pair = serializers.CharField(max_length=20, validators=[NAME], help_text="Fixed once the bot has run.")
    strategy = serializers.CharField(max_length=60, validators=[NAME])
    parameters = ParametersField()
    interval_minutes = serializers.ChoiceField(choices=Interval.choices)
    quote_budget = AmountField(max_value=LARGEST_QUOTE, help_text="In the pair's quote asset.")
    risk = RiskLimitsSerializer(required=False)


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
        values = {name: getattr(bot, name) for name in fields}
        return super().to_representation({**values, "risk": bot.limits, "state": view.state})


class BotListQuerySerializer(QuerySerializer):
    include = serializers.ChoiceField(
        choices=["status"], required=False, default=None, help_text="Each bot with its status, as `/bot/{id}/status`."
    )


class ListedBotSerializer(BotSerializer):
    status = StatusSerializer(allow_null=True, help_text="Null without `include=status`.")

    def to_representation(self, view: BotView) -> dict[str, Any]:
        with_status = self.context.get("include") == "status"
        return {**shown(BotSerializer, view), "status": shown(StatusSerializer, view) if with_status else None}
