from typing import Any

from django.db import models
from django.db.models import Q

from apps.core.terms import Mode
from apps.exchange.instrument import Instrument


def _exact(**options: Any) -> "models.DecimalField[Any, Any]":
    """A decimal column with enough digits for every tick size and minimum that an exchange lists."""
    return models.DecimalField(max_digits=36, decimal_places=18, **options)


class MarketInstrument(models.Model):
    """A pair as last listed by an exchange. Stored, so that its rules are known during an outage of the exchange."""

    exchange = models.CharField(max_length=5, help_text="The mode whose exchange lists it: paper or live.")
    altname = models.CharField(max_length=40)
    code = models.CharField(max_length=40)
    symbol = models.CharField(max_length=40)
    base = models.CharField(max_length=20)
    quote = models.CharField(max_length=20)
    price_decimals = models.PositiveSmallIntegerField()
    volume_decimals = models.PositiveSmallIntegerField()
    cost_decimals = models.PositiveSmallIntegerField()
    tick_size = _exact()
    order_minimum = _exact()
    cost_minimum = _exact()
    status = models.CharField(max_length=20)
    fetched_at = models.DateTimeField()

    class Meta:
        db_table = "market_instrument"
        constraints = [
            models.UniqueConstraint(fields=["exchange", "altname"], name="market_instrument_once"),
            models.CheckConstraint(condition=Q(exchange__in=Mode.values), name="market_instrument_exchange"),
            models.CheckConstraint(
                condition=Q(tick_size__gt=0, order_minimum__gte=0, cost_minimum__gte=0), name="market_instrument_rules"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.altname} ({self.exchange})"

    def as_instrument(self) -> Instrument:
        return Instrument(
            altname=self.altname,
            code=self.code,
            symbol=self.symbol,
            base=self.base,
            quote=self.quote,
            price_decimals=self.price_decimals,
            volume_decimals=self.volume_decimals,
            cost_decimals=self.cost_decimals,
            tick_size=self.tick_size.normalize(),
            order_minimum=self.order_minimum.normalize(),
            cost_minimum=self.cost_minimum.normalize(),
            status=self.status,
        )
