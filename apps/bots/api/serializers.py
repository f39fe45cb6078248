"""What goes in and out. Amounts are decimal strings, times ISO 8601 UTC."""

import json
from decimal import Decimal
from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.bots.models import AccountTrade, Alert, Bot, BotState, BotTrade, CommandKind, Interval, Mode, Side
from apps.bots.selectors import BotView, Performance, TimelineEntry
from apps.bots.selectors.receipts import Receipt, ReceiptState
from apps.core.money import DECIMAL_PLACES, MAX_DIGITS, plain

_ONE_LINE = RegexValidator(r"^[^\x00-\x1f\x7f\u2028\u2029]*$", "Only one line of printable characters.")
_NAME = RegexValidator(r"^[A-Za-z0-9./_-]*$", "Only letters, digits and . / _ -")

_OBJECT = extend_schema_field({"type": "object", "additionalProperties": True})


class AmountField(serializers.DecimalField):
    """An amount or a price, without trailing zeros."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES, **options)

    def to_representation(self, value: Any) -> str:
        return plain(Decimal(value))


@_OBJECT
class ParametersField(serializers.DictField):
    def to_internal_value(self, data: Any) -> Any:
        parameters = super().to_internal_value(data)
        try:
            json.dumps(parameters, ensure_ascii=False, allow_nan=False).encode()
        except ValueError:
            raise serializers.ValidationError("This is not valid JSON text.") from None
        return parameters


class StrategySerializer(serializers.Serializer[Any]):
    name = serializers.CharField(source="strategy")
    title = serializers.CharField()
    description = serializers.CharField()
    parameters = serializers.SerializerMethodField(help_text="JSON Schema (2020-12).")

    @_OBJECT
    def get_parameters(self, strategy: Any) -> Any:
        return strategy.model_json_schema()


class StrategyListSerializer(serializers.Serializer[Any]):
    results = StrategySerializer(many=True)


class BotDefinitionSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=80, validators=[_ONE_LINE])
    credential_id = serializers.UUIDField(help_text="The exchange key that the bot trades with.")
    mode = serializers.ChoiceField(choices=Mode.choices, help_text="The key's mode; never changes.")
    pair = serializers.CharField(max_length=20, validators=[_NAME])
    strategy = serializers.CharField(max_length=60, validators=[_NAME])
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


class TriggerTradeSerializer(serializers.Serializer[Any]):
    side = serializers.ChoiceField(
        choices=Side.choices, required=False, default=None, help_text="Left out: as the strategy decides."
    )
    quote_amount = AmountField(required=False, default=None, help_text="In the quote asset; left out: all there is.")

    def validate_quote_amount(self, value: Any) -> Any:
        if value is not None and value <= 0:
            raise serializers.ValidationError("This must be more than nothing.")
        return value


class StopAllSerializer(serializers.Serializer[Any]):
    manner = serializers.ChoiceField(choices=["pause", "stop", "flatten"], required=False, default="stop")


class BotIdSerializer(serializers.Serializer[Any]):
    bot_id = serializers.UUIDField()


class BotIdTriggerTradeSerializer(TriggerTradeSerializer):
    bot_id = serializers.UUIDField()


class ReceiptSerializer(serializers.Serializer[Any]):
    """A command and how far it got."""

    id = serializers.UUIDField(source="command.id")
    bot_id = serializers.UUIDField(source="command.bot_id")
    kind = serializers.ChoiceField(source="command.kind", choices=CommandKind.choices)
    arguments = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=ReceiptState.choices)
    reason = serializers.CharField(help_text="Why it failed or was dropped, or what the last attempt ran into.")
    attempts = serializers.IntegerField()
    requested_at = serializers.DateTimeField(source="command.requested_at")
    begun_at = serializers.DateTimeField(allow_null=True, help_text="The first attempt.")
    finished_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(source="command.expires_at", help_text="Not begun by then, it is dropped.")
    superseded_by = serializers.UUIDField(
        source="command.superseded_by_id", allow_null=True, help_text="The command that overruled it."
    )

    @_OBJECT
    def get_arguments(self, receipt: Receipt) -> Any:
        return receipt.command.arguments


class ReceiptListSerializer(serializers.Serializer[Any]):
    results = ReceiptSerializer(many=True)


class TradeSerializer(serializers.ModelSerializer[BotTrade]):
    price = AmountField()
    volume = AmountField(help_text="In the base asset.")
    cost = AmountField(help_text="In the quote asset, without the fee.")
    fee = AmountField(help_text="In the quote asset.")
    realised_pnl = AmountField(help_text="What this trade realised, after fees, at average cost.")
    position_volume = AmountField(help_text="What the bot held after it.")

    class Meta:
        model = BotTrade
        fields = [
            "trade_id",
            "bot_id",
            "run_id",
            "order_id",
            "exchange_trade_id",
            "mode",
            "strategy",
            "pair",
            "side",
            "price",
            "volume",
            "cost",
            "fee",
            "realised_pnl",
            "position_volume",
            "market_time",
            "executed_at",
        ]


class AccountTradeSerializer(serializers.ModelSerializer[AccountTrade]):
    price = AmountField()
    volume = AmountField(help_text="In the base asset.")
    cost = AmountField(help_text="In the quote asset, without the fee.")
    fee = AmountField(help_text="In the quote asset.")

    class Meta:
        model = AccountTrade
        fields = [
            "trade_id",
            "credential_id",
            "bot_id",
            "order_id",
            "exchange_trade_id",
            "mode",
            "pair",
            "base_asset",
            "quote_asset",
            "side",
            "price",
            "volume",
            "cost",
            "fee",
            "executed_at",
        ]


class AccountTradeFilterSerializer(serializers.Serializer[Any]):
    credential_id = serializers.UUIDField(required=False, default=None)
    pair = serializers.CharField(required=False, default=None, max_length=20, validators=[_NAME])


class AlertSerializer(serializers.ModelSerializer[Alert]):
    class Meta:
        model = Alert
        fields = ["id", "kind", "severity", "code", "message", "bot_id", "credential_id", "occurred_at"]


class NoticeSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="For programs.")
    message = serializers.CharField(help_text="For people.")
    at = serializers.DateTimeField()


class UnderWaySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=CommandKind.choices)


class StatusSerializer(serializers.Serializer[Any]):
    """What the bot reported last, and the command under way."""

    bot_id = serializers.UUIDField(source="bot.id")
    state = serializers.ChoiceField(choices=BotState.choices)
    since = serializers.DateTimeField(source="status.since", allow_null=True)
    run_id = serializers.UUIDField(source="status.run_id", allow_null=True, help_text="The latest run.")
    run_started_at = serializers.DateTimeField(source="status.run_started_at", allow_null=True)
    config_version = serializers.IntegerField(
        source="status.config_version",
        allow_null=True,
        help_text="The definition that the latest run was started with.",
    )
    reason = serializers.CharField(source="status.reason", help_text="Why the latest run ended.")
    open_orders = serializers.ListField(
        source="status.open_orders",
        child=serializers.CharField(),
        help_text="Left open on the exchange when the latest run ended.",
    )
    command = serializers.SerializerMethodField(help_text="The command under way.")
    last_error = serializers.SerializerMethodField()
    last_skip = serializers.SerializerMethodField(help_text="The last trade that a rule held back.")
    trades = serializers.IntegerField(source="status.trades")
    last_trade_at = serializers.DateTimeField(source="status.last_trade_at", allow_null=True)
    base_asset = serializers.CharField(source="status.base_asset", help_text="Empty before the first trade.")
    quote_asset = serializers.CharField(source="status.quote_asset", help_text="Empty before the first trade.")
    position_volume = AmountField(source="status.position_volume", help_text="In the base asset.")
    quote_flow = AmountField(source="status.quote_flow", help_text="What came in less what went out, fees included.")
    realised_pnl = AmountField(source="status.realised_pnl", help_text="After fees, at average cost.")
    fees = AmountField(source="status.fees")
    last_event_seq = serializers.IntegerField(
        source="status.last_seq", help_text="The newest of the bot's events that this tells of; 0 for none."
    )

    @extend_schema_field(UnderWaySerializer(allow_null=True))
    def get_command(self, view: BotView) -> Any:
        return UnderWaySerializer(view.latest).data if view.latest and view.is_under_way else None

    @extend_schema_field(NoticeSerializer(allow_null=True))
    def get_last_error(self, view: BotView) -> Any:
        status = view.status
        return _notice(status.error_code, status.error_message, status.error_at)

    @extend_schema_field(NoticeSerializer(allow_null=True))
    def get_last_skip(self, view: BotView) -> Any:
        status = view.status
        return _notice(status.skip_code, status.skip_message, status.skip_at)


def _notice(code: str, message: str, at: Any) -> Any:
    return NoticeSerializer({"code": code, "message": message, "at": at}).data if at else None


class EquityPointSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    price = AmountField()
    equity = AmountField()


class PerformanceSerializer(serializers.Serializer[Performance]):
    """Amounts in the quote asset. Without a market price, what depends on it is null."""

    bot_id = serializers.UUIDField()
    pair = serializers.CharField()
    base_asset = serializers.CharField()
    quote_asset = serializers.CharField()
    quote_budget = AmountField()
    trades = serializers.IntegerField()
    sales = serializers.IntegerField()
    profitable_sales = serializers.IntegerField()
    position_volume = AmountField(help_text="In the base asset.")
    average_price = AmountField(allow_null=True, help_text="What a unit of the position was bought for, with fees.")
    last_price = AmountField(allow_null=True)
    last_price_as_of = serializers.DateTimeField(allow_null=True)
    realised_pnl = AmountField(help_text="After fees, at average cost.")
    unrealised_pnl = AmountField(allow_null=True)
    fees = AmountField()
    equity = AmountField(allow_null=True, help_text="Budget, realised and unrealised profit together.")
    equity_curve = EquityPointSerializer(many=True, help_text="At the latest trades, at their prices.")


class TimelineEntrySerializer(serializers.Serializer[TimelineEntry]):
    event_id = serializers.UUIDField()
    type = serializers.CharField()
    title = serializers.CharField(help_text="For people.")
    aggregate = serializers.CharField(help_text="Whose event it is: <type>:<id>.")
    seq = serializers.IntegerField(help_text="The aggregate's own count.")
    occurred_at = serializers.DateTimeField()
    correlation_id = serializers.UUIDField(help_text="One for everything that a request set off.")
    caused_by = serializers.UUIDField(allow_null=True, help_text="The event before it in the chain.")
    payload = serializers.SerializerMethodField()

    @_OBJECT
    def get_payload(self, entry: TimelineEntry) -> Any:
        return entry.payload


class TimelineSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text="The address of what is older.")
    results = TimelineEntrySerializer(many=True)


class TimelineQuerySerializer(serializers.Serializer[Any]):
    command_id = serializers.UUIDField(
        required=False, default=None, help_text="Only what this command set off, oldest first, on every aggregate."
    )
    before = serializers.IntegerField(required=False, default=None, min_value=1, max_value=2**63 - 1)
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=200)


class UserTradingSerializer(serializers.Serializer[Any]):
    trades = serializers.IntegerField()
    last_trade_at = serializers.DateTimeField(allow_null=True)
