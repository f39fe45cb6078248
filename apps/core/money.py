"""Amounts of money and assets as Decimal: columns, text form and rounding."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any

from django.db import models

MAX_DIGITS = 30
DECIMAL_PLACES = 10
# Upper bound of an amount in any quote asset: a larger one is taken for a mistake.
LARGEST_QUOTE = Decimal(10) ** 12


def money_field(**options: Any) -> "models.DecimalField[Any, Any]":
    """A decimal column for an amount or a price: 20 digits before the point, 10 after."""
    return models.DecimalField(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES, **options)


def plain(value: Decimal) -> str:
    """Fixed-point text as Kraken requires it: no exponent, no trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantize(value: Decimal, decimals: int, *, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), rounding=rounding)


def round_down(value: Decimal, decimals: int) -> Decimal:
    return quantize(value, decimals, rounding=ROUND_FLOOR)


def round_up(value: Decimal, decimals: int) -> Decimal:
    return quantize(value, decimals, rounding=ROUND_CEILING)
