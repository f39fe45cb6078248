from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.bots.api.serializers.halts import HaltSerializer
from apps.bots.api.serializers.orders import OrderSerializer
from apps.bots.models import Alert, BotOrder, BotState, CommandKind
from apps.bots.selectors.bots import BotView
from apps.bots.selectors.timeline import TimelineEntry
from apps.core.api.answers import shown
from apps.core.api.fields import OBJECT, AmountField
from apps.core.api.requests import QuerySerializer


class NoticeSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="For programs.")
    message = serializers.CharField(help_text="For people.")
    at = serializers.DateTimeField()


class UnderWaySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=CommandKind.choices)


class UnclearOrderSerializer(serializers.ModelSerializer[BotOrder]):
    class Meta:
        model = BotOrder
        fields = ["order_id", "client_order_id", "side", "state", "code", "changed_at"]


class StatusSerializer(serializers.Serializer[Any]):
    """What the bot reported last, and the command in progress."""

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
        child=serializers.CharField(),
        help_text="Client order ids of the orders that have not ended, oldest first.",
    )
    orders = OrderSerializer(many=True, help_text="The same orders, with their prices, volumes and states.")
    unclear_orders = UnclearOrderSerializer(
        many=True,
        help_text="The outcome of these is not known: the answer was lost (`unknown`), or an operator has to "
        "look (`needs_human`). The bot makes no purchase meanwhile.",
    )
    halts = HaltSerializer(
        many=True,
        help_text="The halts in force that cover the bot, by itself or by its key, its user or the platform; the "
        "strictest first. Empty while nothing halts it.",
    )
    command = serializers.SerializerMethodField(help_text="The command in progress.")
    last_error = serializers.SerializerMethodField()
    last_skip = serializers.SerializerMethodField(help_text="The last trade that a rule held back.")
    trades = serializers.IntegerField(source="status.trades")
    last_trade_at = serializers.DateTimeField(source="status.last_trade_at", allow_null=True)
    base_asset = serializers.CharField(source="status.base_asset", help_text="Empty before the first trade.")
    quote_asset = serializers.CharField(source="status.quote_asset", help_text="Empty before the first trade.")
    position_volume = AmountField(source="status.position_volume", help_text="In the base asset.")
    dust = AmountField(
        help_text="Of the position: what is below the market's smallest order. It cannot be sold now and counts as "
        "nothing where the strategy asks whether the bot holds something."
    )
    quote_flow = AmountField(source="status.quote_flow", help_text="What came in less what went out, fees included.")
    realised_pnl = AmountField(source="status.realised_pnl", help_text="After fees, at average cost.")
    fees = AmountField(source="status.fees")
    last_event_seq = serializers.IntegerField(
        source="status.last_seq", help_text="The newest of the bot's events that this tells of; 0 for none."
    )

    @extend_schema_field(UnderWaySerializer(allow_null=True))
    def get_command(self, view: BotView) -> Any:
        return shown(UnderWaySerializer, view.latest) if view.latest and view.is_in_progress else None

    @extend_schema_field(NoticeSerializer(allow_null=True))
    def get_last_error(self, view: BotView) -> Any:
        status = view.status
        return _notice(status.error_code, status.error_message, status.error_at)

    @extend_schema_field(NoticeSerializer(allow_null=True))
    def get_last_skip(self, view: BotView) -> Any:
        status = view.status
        return _notice(status.skip_code, status.skip_message, status.skip_at)


def _notice(code: str, message: str, at: Any) -> Any:
    return shown(NoticeSerializer, {"code": code, "message": message, "at": at}) if at else None


class AlertSerializer(serializers.ModelSerializer[Alert]):
    class Meta:
        model = Alert
        fields = ["id", "kind", "severity", "code", "message", "bot_id", "credential_id", "occurred_at"]


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

    @OBJECT
    def get_payload(self, entry: TimelineEntry) -> Any:
        return entry.payload


class TimelineSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text="The address of what is older.")
    results = TimelineEntrySerializer(many=True)


class TimelineQuerySerializer(QuerySerializer):
    command_id = serializers.UUIDField(
        required=False, default=None, help_text="Only what this command set off, oldest first, on every aggregate."
    )
    before = serializers.IntegerField(required=False, default=None, min_value=1, max_value=2**63 - 1)
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=200)
