"""Unknown names in a request: found at every depth, named with their path and with what was probably meant."""

from typing import Any

import pytest
from django.http import QueryDict
from rest_framework import serializers

from apps.core.api.requests import EmptyBody, QuerySerializer, RequestSerializer, UnknownField, operation, operation_of
from apps.core.errors import FieldIsImmutable


class Leg(RequestSerializer):
    price = serializers.IntegerField()
    volume = serializers.IntegerField(required=False)


class Plain(serializers.Serializer[Any]):
    """Not one of ours: inside one of ours its names are checked all the same."""

    note = serializers.CharField(required=False)


class Order(RequestSerializer):
    name = serializers.CharField()
    id = serializers.UUIDField(read_only=True)
    leg = Leg(required=False)
    legs = Leg(many=True, required=False)
    by_pair = serializers.DictField(child=Leg(), required=False)
    plain = serializers.ListField(child=Plain(), required=False)
    parameters = serializers.DictField(required=False)


class Filter(QuerySerializer):
    pair = serializers.CharField(required=False, default=None)
    credential_id = serializers.UUIDField(required=False, default=None)


def refused(serializer: RequestSerializer) -> UnknownField:
    with pytest.raises(UnknownField) as error:
        serializer.is_valid(raise_exception=True)
    return error.value


@pytest.mark.parametrize(
    ("body", "field", "nearest"),
    [
        ({"nam": "x"}, "nam", "name"),
        ({"name": "x", "leg": {"prize": 1}}, "leg.prize", "leg.price"),
        ({"name": "x", "legs": [{"price": 1}, {"price": 1, "volum": 2}]}, "legs[1].volum", "legs[1].volume"),
        ({"name": "x", "by_pair": {"XBTUSD": {"prise": 1}}}, "by_pair.XBTUSD.prise", "by_pair.XBTUSD.price"),
        ({"name": "x", "plain": [{"notes": "y"}]}, "plain[0].notes", "plain[0].note"),
        # It comes before whatever else is wrong with the request.
        ({"leg": 7, "leggs": []}, "leggs", "legs"),
    ],
)
def test_the_field_is_named_with_its_path_and_the_nearest_known_one(
    body: dict[str, Any], field: str, nearest: str
) -> None:
    error = refused(Order(data=body))
    assert (error.code, error.http_status) == ("unknown_field", 400)
    assert (error.details["field"], error.details["nearest"], error.details["in"]) == (field, nearest, "body")
    assert error.message == f"There is no field {field}. Did you mean {nearest}?"


def test_a_name_that_resembles_none_is_answered_with_those_that_there_are() -> None:
    error = refused(Leg(data={"price": 1, "stop_loss": 2}))
    assert error.message == "There is no field stop_loss. Known here: price, volume."
    assert error.details["nearest"] in error.details["known"] == ["price", "volume"]


def test_a_free_form_object_keeps_its_fields() -> None:
    order = Order(data={"name": "x", "parameters": {"whatever": {"is": "said"}}})
    assert order.is_valid(raise_exception=True)
    assert order.validated_data["parameters"] == {"whatever": {"is": "said"}}


def test_a_call_that_takes_nothing_says_so() -> None:
    error = refused(EmptyBody(data={"reason": "tired"}))
    assert error.message == "There is no field reason: this call takes none. Leave it out."
    assert (error.details["nearest"], error.details["known"]) == (None, [])


@pytest.mark.parametrize("serializer", [EmptyBody, Order])
@pytest.mark.parametrize("data", [[], "text", 7, None])
def test_a_body_that_is_no_object_is_not_valid(serializer: type[RequestSerializer], data: Any) -> None:
    with pytest.raises(serializers.ValidationError):
        serializer(data=data).is_valid(raise_exception=True)


def test_a_field_that_is_only_in_the_answer_cannot_be_changed() -> None:
    sentence = "The field {} cannot be changed by this call. Leave it out."
    own = refused(Order(data={"name": "x", "id": "7"}))
    answered = refused(Leg(data={"price": 1, "state": "open"}, context={"read_only": lambda: {"state"}}))
    assert [own.message, answered.message] == [sentence.format("id"), sentence.format("state")]
    assert own.details["nearest"] is answered.details["nearest"] is None


def test_a_change_of_a_field_that_is_only_in_the_answer_is_understood_and_refused() -> None:
    context = {"read_only": lambda: {"state", "opened_at"}, "immutable": {"state": "Close it to change it."}}
    with pytest.raises(FieldIsImmutable) as state:
        Leg(data={"price": 1, "state": "open"}, context=context).refuse_unknown()
    with pytest.raises(FieldIsImmutable) as opened_at:
        Leg(data={"price": 1, "opened_at": "now"}, context=context).refuse_unknown()

    how = "Close it to change it."
    assert state.value.message == f"The field state cannot be changed by this call. Leave it out. {how}"
    assert state.value.details == {"field": "state", "how": how}
    assert opened_at.value.details == {"field": "opened_at"}
    assert refused(Leg(data={"price": 1, "stat": 2}, context=context)).code == "unknown_field"


def test_a_query_names_parameters_and_those_of_pagination() -> None:
    error = refused(Filter(data=QueryDict("cursors=1"), context={"also_known": ("cursor", "limit")}))
    assert error.message == "There is no query parameter cursors. Did you mean cursor?"
    assert (error.details["in"], error.details["known"]) == ("query", ["credential_id", "cursor", "limit", "pair"])
    assert Filter(data=QueryDict("cursor=1&pair=XBTUSD"), context={"also_known": ("cursor", "limit")}).is_valid()


@pytest.mark.parametrize("name", ["x" * 100_000, "\ud800", "\x00", ""])
def test_whatever_the_name_is_the_answer_can_hold_it(name: str) -> None:
    error = refused(Leg(data={"price": 1, name: 2}))
    assert len(error.message.encode()) < 200
    assert len(error.details["field"]) <= 60


def test_a_handler_takes_what_it_declares_and_nothing_without_a_declaration() -> None:
    @operation(body=Order, query=Filter, partial=True, responses={200: Leg, 404: Plain})
    def handler() -> None:
        """Declared."""

    declared = operation_of(handler)
    assert (declared.body, declared.query, declared.is_partial, declared.answers) == (Order, Filter, True, (Leg,))
    assert operation_of(lambda: None).body is EmptyBody
