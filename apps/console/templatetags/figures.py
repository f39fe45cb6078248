"""Figures as traders read them: amounts with their currency, states with their lamps, words in the reader's language.

Amounts are exact decimals. What is rounded for reading has the exact amount in its title and in its `value`.
"""

import json
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from uuid import uuid4

from django import template
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console import words
from apps.core.money import plain

register = template.Library()

_NOTHING = SafeString('<span class="none">–</span>')
_CENTS, _SMALL = Decimal("0.01"), Decimal("0.000001")


@register.simple_tag
def money(value: Decimal | None, asset: str = "", *, signed: bool = False) -> SafeString:
    """An amount of money to two decimals, to six where it is below one unit. `signed`: a gain or a loss."""
    if value is None:
        return _NOTHING
    shown = _rounded(value)
    sign = "−" if shown < 0 else "+" if signed and shown > 0 else ""
    direction = " up" if signed and shown > 0 else " down" if signed and shown < 0 else ""
    return _figure(value, f"{sign}{_grouped(abs(shown), least=2)}", asset, direction)


@register.simple_tag
def exact(value: Decimal | None, asset: str = "") -> SafeString:
    """A price or a volume with each digit that the API gave."""
    if value is None:
        return _NOTHING
    return _figure(value, f"{'−' if value < 0 else ''}{_grouped(abs(value))}", asset, "")


def asset_name(code: str) -> str:
    """Kraken's own codes are ZUSD and XXBT for USD and XBT (https://docs.kraken.com/api/docs/guides/spot-rest-intro)."""
    return code[1:] if len(code) == 4 and code[0] in "XZ" else code


def _figure(value: Decimal, text: str, asset: str, direction: str) -> SafeString:
    asset = asset_name(asset)
    unit = format_html(' <span class="unit">{}</span>', asset) if asset else ""
    title = f"{plain(value)} {asset}".strip()
    return format_html(
        '<data class="amount{}" value="{}" title="{}">{}{}</data>', direction, plain(value), title, text, unit
    )


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(_CENTS if abs(value) >= 1 else _SMALL, rounding=ROUND_HALF_EVEN)


def _grouped(value: Decimal, *, least: int = 0) -> str:
    """With the separators of the language, without trailing zeros but for `least` decimals."""
    whole, _point, decimals = plain(value).partition(".")
    decimals = decimals.ljust(least, "0")
    return formats.number_format(f"{whole}.{decimals}" if decimals else whole, use_l10n=True, force_grouping=True)


@register.simple_tag
def clock(at: datetime | None) -> SafeString:
    """A moment of today by its time alone, of another day with the day; with the zone, and in full in its title."""
    if at is None:
        return _NOTHING
    local = timezone.localtime(at)
    shape = "%H:%M:%S" if local.date() == timezone.localdate() else "%Y-%m-%d %H:%M:%S"
    full = f"{local:%Y-%m-%d %H:%M:%S.%f}"[:-3]
    return format_html(
        '<time datetime="{}" title="{} {}">{} <span class="zone">{}</span></time>',
        at.isoformat(), full, local.tzname(), f"{local:{shape}}", local.tzname(),
    )  # fmt: skip


@register.simple_tag
def word(kind: str, value: object) -> str:
    """A word of the API in the reader's language (apps/console/words.py)."""
    return words.word(kind, value)


@register.simple_tag
def mode_mark(mode: str) -> SafeString:
    """Paper or live, by word and colour."""
    return format_html('<span class="badge {}">{}</span>', mode, words.word("mode", mode))


@register.simple_tag
def lamp(kind: str, value: str) -> SafeString:
    """A state: the word says it, the lamp repeats it."""
    colour = words.LAMPS.get((kind, value), "")
    return format_html('<span class="lamp {}" data-state="{}">{}</span>', colour, value, words.word(kind, value))


@register.simple_tag
def form_key() -> str:
    """A form's own Idempotency-Key: sent twice, it is done once."""
    return uuid4().hex


@register.filter
def interval(minutes: int) -> str:
    known = words.INTERVALS.get(minutes)
    return str(known) if known else _("%(minutes)s minutes") % {"minutes": minutes}


@register.filter
def side_class(side: str) -> str:
    return "up" if side == "buy" else "down"


@register.filter
def of(mapping: dict[Any, Any], key: Any) -> Any:
    """The value of a key of a dict; None where there is none."""
    return mapping.get(key)


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: str) -> str:
    """The page's own query with other values, for links to other pages of a list. Empty values are left out."""
    parameters = context["request"].GET.copy()
    for name, value in changes.items():
        parameters.pop(name, None)
        if value:
            parameters[name] = value
    return f"?{parameters.urlencode()}"


register.filter("asset_name", asset_name)


@register.filter
def translated(text: str) -> str:
    """A text of the API that the catalogue knows (apps/console/words.py), in the reader's language."""
    return _(text) if text else ""


@register.filter
def as_json(value: Any) -> str:
    """For an attribute that a script reads."""
    return json.dumps(value, separators=(",", ":"))
