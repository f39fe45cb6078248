"""Fields and validators that serializers share. Amounts are decimal strings."""

import json
from decimal import Decimal
from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.money import DECIMAL_PLACES, MAX_DIGITS, plain

# Neither control characters nor those that change the direction of what follows or have no width (Unicode UAX 9): a
# name with U+202E in it reads otherwise on a page than it is stored.
ONE_LINE = RegexValidator(
    r"^[^\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]*$",
    "Only one line of printable characters.",
)
NAME = RegexValidator(r"^[A-Za-z0-9./_-]*$", "Only letters, digits and . / _ -")
# For documents: what Python's b64decode(validate=True) takes.
BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
OBJECT = extend_schema_field({"type": "object", "additionalProperties": True})


@extend_schema_field(
    {
        "type": "string",
        "format": "decimal",
        "pattern": rf"^-?[0-9]{{1,{MAX_DIGITS - DECIMAL_PLACES}}}(?:\.[0-9]{{1,{DECIMAL_PLACES}}})?$",
    }
)
class AmountField(serializers.DecimalField):
    """An amount, a price or a volume in fixed point, without trailing zeros."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES, **options)

    def to_representation(self, value: Any) -> str:
        return plain(Decimal(value))


@extend_schema_field(
    {
        "type": "string",
        "format": "decimal",
        "pattern": rf"^(?=.*[1-9])[0-9]{{1,{MAX_DIGITS - DECIMAL_PLACES}}}(?:\.[0-9]{{1,{DECIMAL_PLACES}}})?$",
    }
)
class PositiveAmountField(AmountField):
    """An amount that is more than nothing."""

    def to_internal_value(self, data: Any) -> Any:
        amount = super().to_internal_value(data)
        if amount <= 0:
            raise serializers.ValidationError("This must be more than nothing.")
        return amount


@OBJECT
class ParametersField(serializers.DictField):
    """A JSON object whose fields something else checks."""

    def to_internal_value(self, data: Any) -> Any:
        parameters = super().to_internal_value(data)
        try:
            json.dumps(parameters, ensure_ascii=False, allow_nan=False).encode()
        except ValueError:
            raise serializers.ValidationError("This is not valid JSON text.") from None
        return parameters
