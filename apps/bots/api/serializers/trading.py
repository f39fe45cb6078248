from typing import Any

from rest_framework import serializers

from apps.bots.models import AccountTrade, BotTrade
from apps.bots.selectors.performance import Performance
from apps.core.api.fields import NAME, AmountField
from apps.core.api.requests import QuerySerializer
from apps.core.terms import Mode


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


class AccountTradeFilterSerializer(QuerySerializer):
    credential_id = serializers.UUIDField(required=False, default=None)
    pair = serializers.CharField(required=False, default=None, max_length=20, validators=[NAME])


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


class HoldingSerializer(serializers.Serializer[Any]):
    bot_id = serializers.UUIDField()
    bot_name = serializers.CharField()
    mode = serializers.ChoiceField(choices=Mode.choices)
    pair = serializers.CharField()
    base_asset = serializers.CharField()
    quote_asset = serializers.CharField()
    volume = AmountField(help_text="In the base asset.")
    average_price = AmountField(allow_null=True, help_text="What a unit was bought for, with fees.")
    last_price = AmountField(allow_null=True)
    last_price_as_of = serializers.DateTimeField(allow_null=True)
    value = AmountField(allow_null=True, help_text="At the last price, before the fee of selling.")
    unrealised_pnl = AmountField(allow_null=True)


class TotalSerializer(serializers.Serializer[Any]):
    mode = serializers.ChoiceField(choices=Mode.choices)
    quote_asset = serializers.CharField()
    bots = serializers.IntegerField(help_text="Those that ever traded.")
    trades = serializers.IntegerField()
    realised_pnl = AmountField(help_text="After fees, at average cost.")
    fees = AmountField()
    value = AmountField(allow_null=True, help_text="Of what the bots hold; null where a price is missing.")
    unrealised_pnl = AmountField(allow_null=True)


class PortfolioSerializer(serializers.Serializer[Any]):
    """What the bots hold and earned. Paper and live are never added up."""

    trades = serializers.IntegerField(help_text="All trades on the accounts, those of bots and others.")
    last_trade_at = serializers.DateTimeField(allow_null=True)
    holdings = HoldingSerializer(many=True)
    totals = TotalSerializer(many=True)
