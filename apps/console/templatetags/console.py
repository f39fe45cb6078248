"""How pages write amounts, times and fields."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import template
from django.forms import BoundField
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def moment(at: datetime | None, *, seconds: bool = True) -> SafeString | str:
    """A time in the zone of the account, with the zone's name."""
    if at is None:
        return "–"
    local = timezone.localtime(at)
    shown = local.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")
    return format_html(
        '<time datetime="{}">{} <span class="zone">{}</span></time>', at.isoformat(), shown, local.tzname()
    )


@register.filter
def amount(value: Decimal | str | None) -> str:
    """A decimal as it is, with the separators of the language: no float, no digits lost, no exponent."""
    if value is None or value == "":
        return "–"
    return formats.number_format(f"{Decimal(value):f}", use_l10n=True, force_grouping=True)


@register.filter
def signed(value: Decimal | str | None) -> str:
    """As `amount`, with a sign: the colour alone says nothing to some people."""
    if value is None or value == "":
        return "–"
    number = Decimal(value)
    text = amount(abs(number))
    return f"+{text}" if number > 0 else f"−{text}" if number < 0 else text


@register.filter
def direction(value: Decimal | str | None) -> str:
    """The class of a gain or a loss."""
    number = Decimal(value) if value not in (None, "") else Decimal(0)
    return "up" if number > 0 else "down" if number < 0 else ""


_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS"))


@register.filter
def device(user_agent: str) -> str:
    """A short name of what a client says it is; its own words where they are unknown."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in (*_SYSTEMS, ("Linux", "Linux")) if mark in user_agent), "")
    return " · ".join(filter(None, (browser, system))) if browser else user_agent[:40] or "–"


@register.inclusion_tag("console/includes/post_button.html", takes_context=True)
def post_button(context: Any, url: str, title: str, css: str = "small", label: str = "") -> dict[str, Any]:
    """A form of one button. `label` says to screen readers what the title leaves to the row that it stands in."""
    token = context.get("csrf_token")
    return {"url": url, "title": title, "css": css, "label": label, "key": uuid4().hex, "csrf_token": token}


@register.simple_tag
def field_widget(field: BoundField) -> SafeString:
    """The field's control, tied to its help and to what is wrong with it."""
    described = [f"{field.auto_id}_wrong"] if field.errors else []
    described += [f"{field.auto_id}_help"] if field.help_text else []
    attributes: dict[str, Any] = {}
    if described:
        attributes["aria-describedby"] = " ".join(described)
    if field.errors:
        attributes["aria-invalid"] = "true"
    return field.as_widget(attrs=attributes)
