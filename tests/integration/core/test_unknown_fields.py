"""What a request says and the call does not know is refused: 400 unknown_field, by every call of every service."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator
from pytest_django import Settings
from rest_framework.test import APIClient
from rest_framework.views import APIView

from apps.core.api.views import ApiView
from apps.core.identity import service_token
from tests.factories.accounts import FAST_HASHERS, UserServiceClient, make_user, sign_tokens
from tests.factories.bots import TraderClient
from tests.factories.service_tokens import call_as

pytestmark = pytest.mark.django_db

# How many calls each service's document has at least: a walk over an empty document would prove nothing.
CALLS = {"user": 20, "kraken": 35, "bot": 0, "staff": 0, "paper": 2}
URLS = {
    "user": "user_service.urls",
    "kraken": "kraken_service.urls",
    "bot": "bot_service.urls",
    "staff": "staff_site.urls",
    "paper": "paper_exchange.urls",
}
METHODS = ("get", "post", "put", "patch", "delete")
UNKNOWN = "no_such_field"


@pytest.fixture(params=sorted(URLS))
def service(request: pytest.FixtureRequest, settings: Settings) -> str:
    settings.ROOT_URLCONF = URLS[request.param]
    settings.PASSWORD_HASHERS = FAST_HASHERS
    sign_tokens(settings)
    call_as(settings)
    return str(request.param)


def client_of(service: str) -> APIClient:
    """A caller who may make every call of the service, from a network address of its own."""
    if service == "user":
        return UserServiceClient(make_user(roles=["trader", "admin"]))
    if service == "kraken":
        return TraderClient()
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {service_token.mint(audience=service)}")
    return client


def calls_of(service: str) -> Iterator[tuple[str, str]]:
    """Method and address of every call in the service's OpenAPI document."""
    document: Any = SchemaGenerator(urlconf=URLS[service]).get_schema(request=None, public=True)
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, _filled_in(path, item[method].get("parameters", []))


def _filled_in(path: str, parameters: list[dict[str, Any]]) -> str:
    for parameter in parameters:
        if parameter.get("in") == "path":
            value = parameter["schema"].get("enum", [str(uuid4())])[0]
            path = path.replace(f"{{{parameter['name']}}}", value)
    assert "{" not in path, path
    return path


def refusal_of(response: Any) -> str:
    """Which unknown name the answer refuses, and where; its whole text where it refuses none."""
    error = json.loads(response.content).get("error", {})
    if response.status_code != 400 or error["code"] != "unknown_field":
        return f"{response.status_code} {response.content.decode()[:200]}"
    assert set(error) == {"code", "message", "details", "request_id"}
    assert UNKNOWN in error["message"]
    return f"{error['details']['field']} in {error['details']['in']}"


def test_every_call_refuses_an_unknown_query_parameter(service: str) -> None:
    answers = {
        f"{method} {path}": refusal_of(client_of(service).generic(method.upper(), f"{path}?{UNKNOWN}=1"))
        for method, path in calls_of(service)
    }
    assert len(answers) >= CALLS[service]
    assert {call: answer for call, answer in answers.items() if answer != f"{UNKNOWN} in query"} == {}


def test_every_call_refuses_an_unknown_field_also_where_it_takes_no_body(service: str) -> None:
    body = json.dumps({UNKNOWN: 1})
    answers = {
        f"{method} {path}": refusal_of(
            client_of(service).generic(method.upper(), path, body, content_type="application/json")
        )
        for method, path in calls_of(service)
    }
    assert len(answers) >= CALLS[service]
    assert {call: answer for call, answer in answers.items() if answer != f"{UNKNOWN} in body"} == {}


def test_no_call_takes_an_empty_request_for_an_unknown_field(service: str) -> None:
    for method, path in calls_of(service):
        assert b"unknown_field" not in client_of(service).generic(method.upper(), path).content


@pytest.mark.urls("kraken_service.urls")
def test_a_stop_loss_that_bots_do_not_have_makes_no_bot() -> None:
    body = {"name": "x", "credential_id": str(uuid4()), "pair": "XBTUSD", "strategy": "dca", "quote_budget": "10"}
    response = TraderClient().post("/api/v1/bot", {**body, "stop_loss": "9000"})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["details"]["field"]) == (400, "unknown_field", "stop_loss")
    assert error["details"]["nearest"] in error["details"]["known"]
    assert "parameters" in error["message"]


FILTERS_OF_TRADES = "bot_id, credential_id, cursor, limit, mode, pair, side, since, until"


@pytest.mark.urls("kraken_service.urls")
@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("limitt=1", "There is no query parameter limitt. Did you mean limit?"),
        ("format=xml", f"There is no query parameter format. Known here: {FILTERS_OF_TRADES}."),
    ],
)
def test_a_list_knows_its_filters_and_its_pages(query: str, sentence: str) -> None:
    response = TraderClient().get(f"/api/v1/trading/trades?{query}")
    assert (response.status_code, response.json()["error"]["message"]) == (400, sentence)
    assert TraderClient().get("/api/v1/trading/trades?limit=1&pair=XBTUSD").status_code == 200


@pytest.mark.urls("kraken_service.urls")
def test_half_a_surrogate_pair_in_a_name_is_a_callers_mistake() -> None:
    response = TraderClient().generic("POST", "/api/v1/bot", r'{"\ud800": 1}', content_type="application/json")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "unknown_field")


def test_every_view_is_one_that_refuses_what_it_does_not_know(service: str) -> None:
    views = {view for view in _views(get_resolver(URLS[service])) if not view.__module__.startswith("drf_spectacular")}
    assert {view for view in views if not issubclass(view, ApiView)} == set()


def _views(resolver: URLResolver) -> Iterator[type[APIView]]:
    for each in resolver.url_patterns:
        if isinstance(each, URLResolver):
            yield from _views(each)
        elif isinstance(each, URLPattern):
            view = getattr(each.callback, "view_class", None) or getattr(each.callback, "cls", None)
            if isinstance(view, type) and issubclass(view, APIView):
                yield view
