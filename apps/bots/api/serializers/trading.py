from typing import Any

from rest_framework import serializers

from apps.bots.models import AccountTrade, BotTrade
from apps.bots.selectors.equity import Equity
from apps.bots.selectors.performance import Performance
from apps.core.api.fields import NAME, AmountField
from apps.core.api.requests import QuerySerializer
from apps.core.terms import Mode, Side


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


class TradeFilterSerializer(QuerySerializer):
    side = serializers.ChoiceField(choices=Side.choices, required=False, default=None)
    since = serializers.DateTimeField(required=False, default=None, help_text="Executed then or later.")
    until = serializers.DateTimeField(required=False, default=None, help_text="Executed before then.")


class AccountTradeFilterSerializer(TradeFilterSerializer):
    credential_id = serializers.UUIDField(required=False, default=None)
    bot_id = serializers.UUIDField(required=False, default=None)
    pair = serializers.CharField(required=False, default=None, max_length=20, validators=[NAME])
    mode = serializers.ChoiceField(choices=Mode.choices, required=False, default=None)


class EquityPointSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    price = AmountField()
    profit = AmountField(help_text="Realised and unrealised, since the first trade.")
    equity = AmountField(help_text="The profit and the bot's budget as it is today.")


class PerformanceSerializer(serializers.Serializer[Performance]):
    """Amounts in the quote asset. Without a market price, what depends on it is null."""

    bot_id = serializers.UUIDField()
    pair = serializers.CharField()
    base_asset = serializers.CharField()
    quote_asset = serializers.CharField()
    quote_budget = AmountField()
    trades = serializers.IntegerField()
    sales = serializers.IntegerField(help_text="Orders that sold something, however many fills each had.")
    profitable_sales = serializers.IntegerField(help_text="Those of them that made a profit, over all their fills.")
    position_volume = AmountField(help_text="In the base asset.")
    average_price = AmountField(allow_null=True, help_text="What a unit of the position was bought for, with fees.")
    last_price = AmountField(allow_null=True)
    last_price_as_of = serializers.DateTimeField(allow_null=True)
    realised_pnl = AmountField(help_text="After fees, at average cost.")
    unrealised_pnl = AmountField(allow_null=True)
    fees = AmountField()
    equity = AmountField(allow_null=True, help_text="Budget, realised and unrealised profit together.")
    equity_curve = EquityPointSerializer(many=True, help_text="At the latest trades, at their prices.")


class EquityQuerySerializer(QuerySerializer):
    since = serializers.DateTimeField(required=False, default=None, help_text="From the first trade on, if left out.")
    until = serializers.DateTimeField(required=False, default=None, help_text="Up to now, if left out.")
    points = serializers.IntegerField(
        required=False,
        default=200,
        min_value=2,
        max_value=500,
        help_text="At most so many points: the resolution is the finest that needs no more.",
    )


class AccountEquityQuerySerializer(EquityQuerySerializer):
    mode = serializers.ChoiceField(choices=Mode.choices, help_text="Paper and live are never added up.")


class EquityAtSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    profit = AmountField(help_text="Realised and unrealised, since the first trade.")
    equity = AmountField(help_text="The profit and the budget as it is today.")


class EquityCurveSerializer(serializers.Serializer[Any]):
    quote_asset = serializers.CharField(help_text="The currency of the amounts; empty while not known.")
    quote_budget = AmountField(help_text="Of the bots that there are.")
    points = EquityAtSerializer(many=True, help_text="Oldest first; the last one is at `until`.")


class _EquityTimesSerializer(serializers.Serializer[Any]):
    mode = serializers.ChoiceField(choices=Mode.choices)
    since = serializers.DateTimeField(source="grid.since")
    until = serializers.DateTimeField(source="grid.until")
    resolution_seconds = serializers.SerializerMethodField(help_text="Between two points.")

    def get_resolution_seconds(self, equity: Equity) -> int:
        return int(equity.grid.resolution.total_seconds())


class BotEquitySerializer(_EquityTimesSerializer):
    """A position is valued at the newest price that is known for a time: of candles, where the market's time is the
    clock's, of fills, and of now."""

    bot_id = serializers.UUIDField(source="bot.id")
    pair = serializers.CharField(source="bot.pair")
    quote_asset = serializers.CharField(
        source="curve.quote_asset", help_text="The currency of the amounts; empty while not known."
    )
    quote_budget = AmountField(source="bot.quote_budget")
    points = EquityAtSerializer(source="curve.points", many=True, help_text="Oldest first; the last one is at `until`.")


class AccountEquitySerializer(_EquityTimesSerializer):
    curves = EquityCurveSerializer(many=True, help_text="One for each quote asset.")


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


class AssetSharesSerializer(serializers.Serializer[Any]):
    """`total` = `bots_cash` + `bots_coins` + `unallocated`."""

    asset = serializers.CharField()
    total = AmountField(
        help_text="What is booked: the exchange's balance when it was last compared, and what came since."
    )
    bots_cash = AmountField(help_text="What running bots may still spend, and what open orders reserve.")
    bots_coins = AmountField(help_text="What bots hold.")
    unallocated = AmountField(help_text="No bot's. Negative where bots have more than there is.")
    dust = AmountField(help_text="What the total was corrected by, for roundings of the exchange.")
    drift = AmountField(
        allow_null=True, help_text="What the exchange shows beyond `total`, while that is unexplained; null: nothing."
    )


class AccountSharesSerializer(serializers.Serializer[Any]):
    """An exchange account: cash and coins of bots, and what is no bot's. Without assets before its first bot."""

    credential_id = serializers.UUIDField()
    label = serializers.CharField(help_text="The key's.")  # type: ignore[assignment]
    mode = serializers.ChoiceField(choices=Mode.choices)
    compared_at = serializers.DateTimeField(
        allow_null=True, help_text="When the exchange's balances were last found equal; null before the first bot."
    )
    assets = AssetSharesSerializer(many=True)


class PortfolioSerializer(serializers.Serializer[Any]):
    """What the bots hold and earned. Paper and live are never added up."""

    trades = serializers.IntegerField(help_text="All trades on the accounts, those of bots and others.")
    last_trade_at = serializers.DateTimeField(allow_null=True)
    holdings = HoldingSerializer(many=True)
    totals = TotalSerializer(many=True)
    accounts = AccountSharesSerializer(many=True, help_text="Of connected keys, by label.")
