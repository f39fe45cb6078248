from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.bots.api.serializers.trading import TradeSerializer
from apps.bots.models import BotOrder, OrderState, OrderStep
from apps.bots.models.orders import ORDER_KINDS
from apps.bots.selectors.orders import OrderDetail, evidence_shown
from apps.core.api.fields import NAME, AmountField
from apps.core.api.requests import QuerySerializer
from apps.core.terms import Mode, Side


class OrderFilterSerializer(QuerySerializer):
    bot_id = serializers.UUIDField(required=False, default=None)
    pair = serializers.CharField(required=False, default=None, max_length=20, validators=[NAME])
    side = serializers.ChoiceField(choices=Side.choices, required=False, default=None)
    mode = serializers.ChoiceField(choices=Mode.choices, required=False, default=None)
    state = serializers.ChoiceField(choices=OrderState.choices, required=False, default=None)
    since = serializers.DateTimeField(required=False, default=None, help_text="Planned then or later.")
    until = serializers.DateTimeField(required=False, default=None, help_text="Planned before then.")


class OrderSerializer(serializers.ModelSerializer[Any]):
    """An order: planned, sent at most once, and known by evidence of the exchange since."""

    id = serializers.UUIDField(source="order_id")
    exchange_order_id = serializers.CharField(help_text="Empty until the exchange has named it.")
    mode = serializers.ChoiceField(choices=Mode.choices)
    kind = serializers.ChoiceField(
        choices=ORDER_KINDS, help_text="A limit order: immediate or cancel, or good till cancelled."
    )
    price = AmountField(help_text="The limit.")
    volume = AmountField(help_text="In the base asset.")
    filled_volume = AmountField(help_text="In the base asset.")
    filled_cost = AmountField(help_text="In the quote asset, without the fee.")
    filled_fee = AmountField(help_text="In the quote asset.")
    state = serializers.ChoiceField(choices=OrderState.choices)
    code = serializers.CharField(help_text="Why it has this state, for programs; may be empty.")
    reason = serializers.CharField(help_text="Why the bot decided on it.")

    class Meta:
        model = BotOrder
        fields = [
            "id",
            "bot_id",
            "run_id",
            "credential_id",
            "command_id",
            "decision_id",
            "attempt",
            "client_order_id",
            "exchange_order_id",
            "mode",
            "strategy",
            "pair",
            "side",
            "kind",
            "price",
            "volume",
            "filled_volume",
            "filled_cost",
            "filled_fee",
            "state",
            "code",
            "reason",
            "market_time",
            "planned_at",
            "sent_at",
            "deadline",
            "cancel_requested_at",
            "ended_at",
            "changed_at",
        ]


class OrderStepSerializer(serializers.ModelSerializer[OrderStep]):
    type = serializers.CharField(source="kind", help_text="The event that told it.")
    filled_volume = AmountField(help_text="By then.")
    evidence = serializers.SerializerMethodField(help_text="What was observed at this step.")

    class Meta:
        model = OrderStep
        fields = ["event_id", "type", "state", "code", "filled_volume", "evidence", "at"]

    @extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
    def get_evidence(self, step: OrderStep) -> Any:
        return evidence_shown(step.evidence)


class OrderDetailSerializer(OrderSerializer):
    """An order with its evidence and its fills."""

    history = OrderStepSerializer(many=True, help_text="Its life, oldest step first.")
    trades = TradeSerializer(many=True, help_text="Its fills, oldest first.")

    class Meta(OrderSerializer.Meta):
        fields = [*OrderSerializer.Meta.fields, "history", "trades"]

    def to_representation(self, detail: OrderDetail) -> dict[str, Any]:
        shown: dict[str, Any] = OrderSerializer(detail.order).data
        shown["history"] = OrderStepSerializer(detail.history, many=True).data
        shown["trades"] = TradeSerializer(detail.trades, many=True).data
        return shown
