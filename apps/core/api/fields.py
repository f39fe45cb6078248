"""Fields and validators that serializers share. Amounts are decimal strings."""

import json
from decimal import Decimal
from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.money import DECIMAL_PLACES, MAX_DIGITS, plain

ONE_LINE = RegexValidator(r"^[^\x00-\x1f\x7f\u2028\u2029]*$", "Only one line of printable characters.")
NAME = RegexValidator(r"^[A-Za-z0-9./_-]*$", "Only letters, digits and . / _ -")
OBJECT = extend_schema_field({"type": "object", "additionalProperties": True})


class AmountField(serializers.DecimalField):
    """An amount, a price or a volume in fixed point, without trailing zeros."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES, **options)

    def to_representation(self, value: Any) -> str:
        return plain(Decimal(value))


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
