"""Form fields from the JSON Schema of a strategy's parameters (2020-12), as pydantic writes it."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _

Schema = Mapping[str, Any]


class AmountField(forms.CharField):
    """An exact amount. It goes to the API as typed, a decimal comma as a point: the API says whether it is one."""

    def __init__(self, **options: Any) -> None:
        attributes = {"inputmode": "decimal", "autocomplete": "off", "class": "num"}
        super().__init__(widget=forms.TextInput(attrs=attributes), max_length=40, **options)

    def clean(self, value: Any) -> str:
        text = str(super().clean(value))
        return text.replace(",", ".") if text.count(",") == 1 and "." not in text else text


class WholeNumberField(forms.IntegerField):
    """Text with digits: a `number` input of HTML hides what it does not take for a number."""

    def __init__(self, **options: Any) -> None:
        attributes = {"inputmode": "numeric", "autocomplete": "off", "class": "num"}
        super().__init__(widget=forms.TextInput(attrs=attributes), **options)


def fields_of(schema: Schema, *, prefix: str = "") -> dict[str, forms.Field]:
    """A field for each property, in the schema's order, by `prefix` and name. Defaults are the initial values."""
    required = set(schema.get("required", ()))
    return {
        prefix + name: field_of(name, described, is_required=name in required)
        for name, described in schema.get("properties", {}).items()
    }


def field_of(name: str, described: Schema, *, is_required: bool) -> forms.Field:
    options: dict[str, Any] = {
        "label": _translated(described.get("title", name)),
        "help_text": _with_bounds(_translated(described.get("description")), described),
        "initial": described.get("default"),
        "required": is_required,
    }
    if choices := described.get("enum"):
        return forms.ChoiceField(choices=[(each, str(each)) for each in choices], **options)
    types = _types(described)
    if types == {"boolean"}:
        return forms.BooleanField(**{**options, "required": False})
    if types == {"integer"}:
        return WholeNumberField(**options, min_value=described.get("minimum"), max_value=described.get("maximum"))
    if "number" in types:
        # An exact amount may be written as a number or as a string: as a string it stays exact.
        return AmountField(**options)
    return forms.CharField(max_length=200, **options)


def _translated(text: Any) -> str:
    """Where the catalogue knows the API's text (apps/console/words.py)."""
    return _(str(text)) if text else ""


def _types(described: Schema) -> set[str]:
    given = [described.get("type"), *(each.get("type") for each in described.get("anyOf", ()))]
    return {str(each) for each in given if each not in (None, "null")}


def _with_bounds(help_text: str, described: Schema) -> str:
    least, most = described.get("minimum"), described.get("maximum")
    if least is None or most is None:
        return help_text
    bounds = _("From %(least)s to %(most)s.") % {"least": least, "most": most}
    return f"{help_text} {bounds}".strip()
