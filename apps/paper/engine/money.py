"""Decimal arithmetic with 60 digits, and explicit rounding."""

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_UP, Context, Decimal

EXACT = Context(prec=60)


def rounded(value: Decimal, decimals: int) -> Decimal:
    """Rounds half up, as costs and fees are charged."""
    return value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP, context=EXACT)


def rounded_up(value: Decimal, decimals: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_CEILING, context=EXACT)


def fixed(value: Decimal, decimals: int) -> str:
    """Fixed-point text with exactly that many decimals, rounded towards zero, so that no amount is overstated."""
    return format(value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_DOWN, context=EXACT), "f")
