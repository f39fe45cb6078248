from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from apps.bots.models import CommandKind
from apps.bots.selectors.command_receipts import CommandReceipt, CommandReceiptState
from apps.core.api.fields import OBJECT, AmountField
from apps.core.api.requests import RequestSerializer
from apps.core.terms import Side


class TriggerTradeSerializer(RequestSerializer):
    side = serializers.ChoiceField(
        choices=Side.choices, required=False, default=None, help_text="Left out: as the strategy decides."
    )
    quote_amount = AmountField(required=False, default=None, help_text="In the quote asset; left out: all there is.")

    def validate_quote_amount(self, value: Any) -> Any:
        if value is not None and value <= 0:
            raise serializers.ValidationError("This must be more than nothing.")
        return value


class StopSerializer(RequestSerializer):
    manner = serializers.ChoiceField(
        choices=["pause", "stop", "flatten"],
        required=False,
        default="stop",
        help_text="`pause`: open orders stay; `stop`: they are cancelled; `flatten`: what is held is sold as well.",
    )


class BotIdSerializer(RequestSerializer):
    bot_id = serializers.UUIDField()


class BotIdStopSerializer(StopSerializer):
    bot_id = serializers.UUIDField()


class BotIdTriggerTradeSerializer(TriggerTradeSerializer):
    bot_id = serializers.UUIDField()


@extend_schema_serializer(component_name="Receipt")
class CommandReceiptSerializer(serializers.Serializer[Any]):
    """A command and how far it got."""

    id = serializers.UUIDField(source="command.id")
    bot_id = serializers.UUIDField(source="command.bot_id")
    kind = serializers.ChoiceField(source="command.kind", choices=CommandKind.choices)
    arguments = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=CommandReceiptState.choices)
    reason = serializers.CharField(help_text="Why it failed or was dropped, or what the last attempt ran into.")
    attempts = serializers.IntegerField()
    requested_at = serializers.DateTimeField(source="command.requested_at")
    begun_at = serializers.DateTimeField(allow_null=True, help_text="The first attempt.")
    finished_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(source="command.expires_at", help_text="Not begun by then, it is dropped.")
    superseded_by = serializers.UUIDField(
        source="command.superseded_by_id", allow_null=True, help_text="The command that overruled it."
    )

    @OBJECT
    def get_arguments(self, receipt: CommandReceipt) -> Any:
        return receipt.command.arguments


@extend_schema_serializer(component_name="ReceiptList")
class CommandReceiptListSerializer(serializers.Serializer[Any]):
    results = CommandReceiptSerializer(many=True)
