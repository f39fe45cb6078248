"""A value of another JSON type than its field's is refused by every call of every service that takes a body."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.urls import get_resolver
from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework import serializers

from apps.bots.models import Bot
from apps.core.api.json_types import WrongType, types_of
from apps.core.api.requests import RequestSerializer, operation_of
from apps.core.errors import PlatformError
from apps.strategies.registry import all_strategies
from tests.factories.bots import TraderClient
from tests.integration.bots import conftest as bots_conftest
from tests.integration.bots.conftest import World
from tests.integration.core.test_unknown_fields import METHODS, URLS, _views

# The fixture of the bots' tests
world = bots_conftest.world

# How many fields the bodies of each service have at least: a walk over no field would prove nothing.
FIELDS = {"user": 15, "kraken": 20}
VALUES: tuple[Any, ...] = (True, 7, 7.0, "7", ["7"], {"a": "7"})


def bodies_of(service: str) -> Iterator[type[RequestSerializer]]:
    seen = set()
    for view in _views(get_resolver(URLS[service])):
        for method in METHODS:
            body = operation_of(getattr(view, method, bodies_of)).body
            each = body.serializers if isinstance(body, PolymorphicProxySerializer) else [body]
            every: Any = each.values() if isinstance(each, dict) else each
            for serializer in every:
                if serializer not in seen:
                    seen.add(serializer)
                    yield serializer


def fields_of(serializer: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every writable field, those of nested objects too, with the names that lead to it."""
    for name, field in serializer.fields.items():
        if field.read_only or isinstance(field, serializers.HiddenField):
            continue
        yield (*place, name), field
        if isinstance(field, serializers.Serializer):
            yield from fields_of(field, (*place, name))


def is_of(value: Any, types: tuple[type, ...]) -> bool:
    return bool in types if isinstance(value, bool) else isinstance(value, types)


def _refused_for(body: type[RequestSerializer], data: Any) -> str:
    """The field that is refused for its type; otherwise what happens instead."""
    try:
        body(data=data, partial=True).is_valid(raise_exception=True)
    except WrongType as error:
        return str(error.details["field"])
    except (serializers.ValidationError, PlatformError) as error:
        return repr(error)
    return "valid"


@pytest.mark.parametrize("service", sorted(FIELDS))
def test_every_field_of_every_body_has_a_type_and_refuses_the_others(service: str) -> None:
    checked, taken = 0, []
    for body in bodies_of(service):
        for place, field in fields_of(body()):
            types = types_of(field)
            assert types, f"{body.__name__}: {place} has no type in apps/core/api/json_types.py"
            checked += 1
            for value in VALUES:
                if is_of(value, types):
                    continue
                data: Any = value
                for name in reversed(place):
                    data = {name: data}
                if (refused := _refused_for(body, data)) != ".".join(place):
                    taken.append((body.__name__, place, value, refused))
    assert taken == []
    assert checked >= FIELDS[service]


@pytest.mark.django_db
@pytest.mark.urls("kraken_service.urls")
class TestBots:
    def body(self, world: World, trader: TraderClient, **fields: Any) -> dict[str, Any]:
        return {
            "name": "x",
            "credential_id": str(world.add_key(trader.user_id)),
            "pair": "XBTUSD",
            "strategy": "sma_cross",
            "quote_budget": "1000",
            **fields,
        }

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"interval_minutes": "60"}, "wrong_type"),
            ({"quote_budget": 1000.5}, "wrong_type"),
            ({"name": 7}, "wrong_type"),
            ({"interval_minutes": []}, "wrong_type"),
            ({"parameters": []}, "wrong_type"),
            ({"quote_budget": "99999999999999999999"}, "malformed"),
            ({"quote_budget": "1e20"}, "malformed"),
            ({"risk": {"orders_per_minute": True}}, "wrong_type"),
            ({"risk": {"largest_order_quote": "1000000000001"}}, "malformed"),
            ({"parameters": {"fast": True}}, "invalid_parameters"),
            ({"parameters": {"fast": 5.0}}, "invalid_parameters"),
            ({"parameters": {"fast": "5"}}, "invalid_parameters"),
            ({"parameters": {"enter_on_start": 1}}, "invalid_parameters"),
            ({"strategy": "dca", "parameters": {"quote_amount": 0.1}}, "invalid_parameters"),
            ({"strategy": "dca", "parameters": {"quote_amount": True}}, "invalid_parameters"),
            ({"strategy": "dca", "parameters": {"quote_amount": "1000000000001"}}, "invalid_parameters"),
        ],
    )
    def test_another_type_or_an_amount_beyond_measure_makes_no_bot(
        self,
        world: World,
        fields: dict[str, Any],
        code: str,
    ) -> None:
        trader = TraderClient(uuid4())
        response = trader.post("/api/v1/bot", self.body(world, trader, **fields))
        assert response.json()["error"]["code"] == code
        assert response.status_code == (422 if code == "invalid_parameters" else 400)
        assert Bot.objects.count() == 0

    def test_the_answer_names_the_bound(self, world: World) -> None:
        trader = TraderClient(uuid4())
        response = trader.post("/api/v1/bot", self.body(world, trader, quote_budget="99999999999999999999"))
        assert "1000000000000" in str(response.json()["error"]["details"]["fields"]["quote_budget"])

    def test_amounts_are_strings_or_integers(self, world: World) -> None:
        trader = TraderClient(uuid4())
        body = self.body(world, trader, strategy="dca", parameters={"quote_amount": 50}, quote_budget=1000)
        response = trader.post("/api/v1/bot", body)
        assert response.status_code == 201
        assert response.json()["parameters"]["quote_amount"] == "50"


def test_strategies_keep_their_parameters_when_they_are_stored_and_read_again() -> None:
    given: dict[str, dict[str, Any]] = {"dca": {"quote_amount": "50.5"}}
    for strategy in all_strategies():
        read = strategy.read(given.get(strategy.strategy, {}))
        assert strategy.read(read.as_json()) == read
