"""A value in a body has the JSON type of its field."""

from typing import Any

import pytest
from django.http import QueryDict
from rest_framework import serializers

from apps.core.api.fields import AmountField
from apps.core.api.json_types import WrongType
from apps.core.api.requests import QuerySerializer, RequestSerializer


class Leg(RequestSerializer):
    lots = serializers.IntegerField()


class Order(RequestSerializer):
    lots = serializers.IntegerField(required=False, allow_null=True)
    fast = serializers.BooleanField(required=False)
    name = serializers.CharField(required=False)
    price = AmountField(required=False)
    side = serializers.ChoiceField(choices=["buy", "sell"], required=False)
    interval = serializers.ChoiceField(choices=[(1, "a minute"), (60, "an hour")], required=False)
    bot_id = serializers.UUIDField(required=False)
    at = serializers.DateTimeField(required=False)
    rate = serializers.FloatField(required=False)
    legs = Leg(many=True, required=False)
    by_pair = serializers.DictField(child=Leg(), required=False)
    names = serializers.ListField(child=serializers.CharField(), required=False)


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({"lots": True}, "lots", "The field lots is an integer, not a boolean."),
        ({"lots": 5.0}, "lots", "The field lots is an integer, not a number."),
        ({"lots": "5"}, "lots", "The field lots is an integer, not a string."),
        ({"fast": 1}, "fast", "The field fast is a boolean, not an integer."),
        ({"fast": "true"}, "fast", "The field fast is a boolean, not a string."),
        ({"name": 7}, "name", "The field name is a string, not an integer."),
        ({"price": 0.1}, "price", "The field price is a string or an integer, not a number."),
        ({"price": True}, "price", "The field price is a string or an integer, not a boolean."),
        ({"side": True}, "side", "The field side is a string, not a boolean."),
        ({"interval": "60"}, "interval", "The field interval is an integer, not a string."),
        ({"interval": True}, "interval", "The field interval is an integer, not a boolean."),
        ({"interval": 60.0}, "interval", "The field interval is an integer, not a number."),
        ({"bot_id": 7}, "bot_id", "The field bot_id is a string, not an integer."),
        ({"at": 1700000000}, "at", "The field at is a string, not an integer."),
        ({"rate": "0.1"}, "rate", "The field rate is an integer or a number, not a string."),
        (
            {"legs": [{"lots": 1}, {"lots": True}]},
            "legs[1].lots",
            "The field legs[1].lots is an integer, not a boolean.",
        ),
        ({"by_pair": {"X": {"lots": 1.5}}}, "by_pair.X.lots", "The field by_pair.X.lots is an integer, not a number."),
        ({"names": ["a", 7]}, "names[1]", "The field names[1] is a string, not an integer."),
        ({"names": "a"}, "names", "The field names is a list, not a string."),
    ],
)
def test_another_type_is_refused_with_field_and_both_types(body: dict[str, Any], field: str, sentence: str) -> None:
    with pytest.raises(WrongType) as caught:
        Order(data=body).is_valid(raise_exception=True)
    error = caught.value
    assert (error.http_status, error.code, error.message) == (400, "wrong_type", sentence)
    assert error.details["field"] == field


@pytest.mark.parametrize(
    "body",
    [
        {"lots": 5, "fast": True, "name": "7", "price": "0.1", "side": "buy", "interval": 60, "rate": 1},
        {"lots": None, "price": 1000, "rate": 0.5, "legs": [{"lots": 1}], "by_pair": {"X": {"lots": 2}}},
        {"names": [], "at": "2026-01-01T00:00:00Z", "bot_id": "6b8a1a9e-6b0e-4a52-8d5c-6a2f6f0d5b7e"},
    ],
)
def test_the_type_that_is_stated_is_taken(body: dict[str, Any]) -> None:
    assert Order(data=body).is_valid(raise_exception=True)


def test_a_query_string_is_text() -> None:
    class Filter(QuerySerializer):
        limit = serializers.IntegerField()

    serializer = Filter(data=QueryDict("limit=5"))
    assert serializer.is_valid(raise_exception=True)
    assert serializer.validated_data["limit"] == 5
