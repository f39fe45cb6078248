from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from apps.bots.models import CommandKind
from apps.bots.selectors.command_receipts import CommandReceipt, CommandReceiptState
from apps.core.api.fields import OBJECT, PositiveAmountField
from apps.core.api.requests import QuerySerializer, RequestSerializer
from apps.core.money import LARGEST_QUOTE
from apps.core.terms import Mode, Side


class TriggerTradeSerializer(RequestSerializer):
    side = serializers.ChoiceField(
        choices=Side.choices, required=False, default=None, help_text="Left out: as the strategy decides."
    )
    quote_amount = PositiveAmountField(
        required=False, default=None, max_value=LARGEST_QUOTE, help_text="In the quote asset; left out: all there is."
    )


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


class CommandFilterSerializer(QuerySerializer):
    kind = serializers.ChoiceField(choices=CommandKind.choices, required=False, default=None)
    since = serializers.DateTimeField(required=False, default=None, help_text="Requested then or later.")
    until = serializers.DateTimeField(required=False, default=None, help_text="Requested before then.")


class OrderEndSerializer(serializers.Serializer[Any]):
    """An order of a receipt, with its end as far as it is proved."""

    client_order_id = serializers.CharField()
    exchange_order_id = serializers.CharField(help_text="Empty where the exchange has not named one.")
    side = serializers.ChoiceField(choices=Side.choices)
    state = serializers.CharField(help_text="As in `GET /trading/orders`.")
    code = serializers.CharField(help_text="Why it has this state, for programs.")
    volume = serializers.CharField(help_text="In the base asset.")
    filled_volume = serializers.CharField(help_text="In the base asset.")
    average_price = serializers.CharField(allow_null=True, help_text="In the quote asset; null without a fill.")
    fee = serializers.CharField(help_text="In the quote asset.")
    sent_at = serializers.DateTimeField(allow_null=True, help_text="When it was marked as being sent.")
    ended_at = serializers.DateTimeField(allow_null=True)


class ResultSerializer(serializers.Serializer[Any]):
    """What a command came to. It is brought up to date until it is final."""

    outcome = serializers.ChoiceField(
        choices=[
            "complete",
            "incomplete",
            "filled",
            "partly_filled",
            "not_filled",
            "not_sent",
            "open",
            "unknown",
            "refused",
        ],
        help_text="Of a stop: `complete` or `incomplete`. Of a trade: `open` is on the order book, `unknown` is looked "
        "for, `refused` by a rule or the exchange, `not_sent` never left.",
    )
    is_final = serializers.BooleanField(help_text="False while the end of an order is not proved.")
    code = serializers.CharField(help_text="Why it is not as asked, for programs.")
    message = serializers.CharField(help_text="Why, for people.")
    filled_volume = serializers.CharField(required=False, help_text="Of a trade, in the base asset.")
    average_price = serializers.CharField(
        required=False, allow_null=True, help_text="Of a trade, in the quote asset; null without a fill."
    )
    fee = serializers.CharField(required=False, help_text="Of a trade, in the quote asset.")
    left_volume = serializers.CharField(
        required=False, help_text="Of a flatten: what is still to be sold, in the base asset."
    )
    orders = OrderEndSerializer(many=True, help_text="Of a stop: also orders that were being sent when it was asked.")


@extend_schema_serializer(component_name="Receipt")
class CommandReceiptSerializer(serializers.Serializer[Any]):
    """A command and how far it got."""

    id = serializers.UUIDField(source="command.id")
    bot_id = serializers.UUIDField(source="command.bot_id")
    kind = serializers.ChoiceField(source="command.kind", choices=CommandKind.choices)
    arguments = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=CommandReceiptState.choices)
    reason = serializers.CharField(
        help_text="Why it failed, was dropped or is incomplete, or what the last attempt ran into."
    )
    incomplete = serializers.BooleanField(
        source="is_incomplete", help_text="Done, and yet something is left: `result` says what."
    )
    result = ResultSerializer(allow_null=True, help_text="Null before the end, and of starts.")
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


@extend_schema_serializer(component_name="NamedReceipt")
class NamedCommandReceiptSerializer(CommandReceiptSerializer):
    """A receipt among those of other bots."""

    bot_name = serializers.CharField(source="command.bot.name")
    mode = serializers.ChoiceField(source="command.bot.mode", choices=Mode.choices)


@extend_schema_serializer(component_name="ReceiptList")
class CommandReceiptListSerializer(serializers.Serializer[Any]):
    results = CommandReceiptSerializer(many=True)
