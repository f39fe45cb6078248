"""What goes in and out. Prices in the quote asset, volumes in the base asset, both as decimal strings."""

from functools import lru_cache
from typing import Any

from rest_framework import serializers

from apps.core.api.answers import shown
from apps.core.api.fields import NAME, AmountField
from apps.core.api.requests import QuerySerializer
from apps.exchange.types import Candle
from apps.market.selectors import DEPTH, INTERVALS


class PairQuerySerializer(QuerySerializer):
    pair = serializers.CharField(max_length=40, validators=[NAME], help_text="XBTUSD, XXBTZUSD or BTC/USD.")


class OhlcQuerySerializer(PairQuerySerializer):
    interval = serializers.ChoiceField(choices=INTERVALS, default=60, help_text="In minutes.")
    limit = serializers.IntegerField(min_value=1, max_value=720, default=200, help_text="The most candles of a page.")
    before = serializers.DateTimeField(
        required=False, default=None, help_text="Only candles that opened before then: the last of them."
    )
    since = serializers.DateTimeField(
        required=False,
        default=None,
        help_text="Only candles that opened then or later: the first of them, or with `before` the last.",
    )


class OrderBookQuerySerializer(PairQuerySerializer):
    depth = serializers.IntegerField(min_value=1, max_value=DEPTH, default=25, help_text="Levels a side.")


class FreshnessSerializer(serializers.Serializer[Any]):
    """What every answer says of itself."""

    exchange = serializers.ChoiceField(choices=["paper", "live"], help_text="Whose market it is.")
    as_of = serializers.DateTimeField(help_text="When the exchange said it.")
    stale = serializers.BooleanField(help_text="The exchange was asked again since, and did not answer.")
    synthetic = serializers.BooleanField(
        allow_null=True, help_text="The prices are generated, not those of a market; null while not known."
    )


class InstrumentSerializer(serializers.Serializer[Any]):
    pair = serializers.CharField(source="altname")
    code = serializers.CharField()
    symbol = serializers.CharField()
    base = serializers.CharField()
    quote = serializers.CharField()
    status = serializers.CharField()
    price_decimals = serializers.IntegerField()
    volume_decimals = serializers.IntegerField()
    cost_decimals = serializers.IntegerField()
    tick_size = AmountField()
    order_minimum = AmountField(help_text="In base.")
    cost_minimum = AmountField(help_text="In quote.")


class InstrumentPageSerializer(FreshnessSerializer):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = InstrumentSerializer(many=True)


class TickerSerializer(FreshnessSerializer):
    pair = serializers.CharField()
    ask = AmountField()
    bid = AmountField()
    last = AmountField()
    open = AmountField(help_text="At 00:00 UTC.")
    high_24h = AmountField()
    low_24h = AmountField()
    volume_24h = AmountField()
    average_24h = AmountField(help_text="Weighted by volume.")
    trades_24h = serializers.IntegerField()


class _CandleFields(serializers.Serializer[Any]):
    time = serializers.DateTimeField(source="opened_at", help_text="The candle's first moment, in market time.")
    open = AmountField()
    high = AmountField()
    low = AmountField()
    close = AmountField()
    average = AmountField()
    volume = AmountField()
    trades = serializers.IntegerField()


@lru_cache(maxsize=20_000)
def _candle_shown(candle: Candle) -> Any:
    return shown(_CandleFields, candle)


class CandleSerializer(_CandleFields):
    def to_representation(self, candle: Candle) -> Any:
        """Every reader of a market is shown the same candles, and one with the same figures is shown alike."""
        return _candle_shown(candle)


class OhlcSerializer(FreshnessSerializer):
    pair = serializers.CharField()
    interval_minutes = serializers.IntegerField()
    candles = CandleSerializer(many=True, help_text="Closed, oldest first.")
    forming = CandleSerializer(
        allow_null=True, help_text="Not closed yet: it will change. Null on a page that does not reach up to now."
    )
    next = serializers.URLField(
        allow_null=True, help_text="The address of the page of older candles; null where history ends."
    )
    previous = serializers.URLField(
        allow_null=True, help_text="The address of the page of newer candles; null on a page that reaches up to now."
    )
    history_starts_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When the oldest candle of this interval opened. Exchanges keep so many candles of each, so longer "
        "intervals reach back further. Null where there are none.",
    )


class LevelSerializer(serializers.Serializer[Any]):
    price = AmountField()
    volume = AmountField()


class OrderBookSerializer(FreshnessSerializer):
    pair = serializers.CharField()
    asks = LevelSerializer(many=True, help_text="Best first.")
    bids = LevelSerializer(many=True, help_text="Best first.")


class ExchangeStatusSerializer(serializers.Serializer[Any]):
    exchange = serializers.ChoiceField(choices=["paper", "live"])
    status = serializers.CharField(help_text="online, maintenance, cancel_only, post_only or unreachable.")
    exchange_time = serializers.DateTimeField(allow_null=True)
    as_of = serializers.DateTimeField()
    synthetic = serializers.BooleanField()
