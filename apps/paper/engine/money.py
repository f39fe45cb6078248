"""Exact arithmetic: nothing is lost before it is rounded, and rounding says how."""

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_UP, Context, Decimal

EXACT = Context(prec=60)


def rounded(value: Decimal, decimals: int) -> Decimal:
    """Half up: how costs and fees are charged."""
    return value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP, context=EXACT)


def rounded_up(value: Decimal, decimals: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_CEILING, context=EXACT)


def fixed(value: Decimal, decimals: int) -> str:
    """Fixed-point text with exactly that many decimals, cut towards zero: never shows more than there is."""
    return format(value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_DOWN, context=EXACT), "f")
