"""What is no good in a query string or a body is a 400 that names it, at every call that takes it."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from service_common.settings.factory import MIDDLEWARE
from tests.factories.accounts import FAST_HASHERS, PASSWORD, UserServiceClient, make_user, sign_tokens
from tests.factories.bots import TraderClient
from tests.support.openapi import Called, operations, resolved

pytestmark = pytest.mark.django_db

URLS = {"user": "user_service.urls", "kraken": "kraken_service.urls"}


@pytest.fixture(autouse=True)
def _services(settings: Settings, market_of_its_own: None) -> None:
    settings.PASSWORD_HASHERS = FAST_HASHERS
    settings.MIDDLEWARE = MIDDLEWARE
    sign_tokens(settings)


def bad_values_of(name: str, schema: dict[str, Any]) -> Iterator[str]:
    """Values that a parameter of this schema has not."""
    yield ""
    if schema.get("type") == "integer":
        yield from ("abc", "null", "1.0", "١", "99999999999999999999")
        yield from (str(schema[key] + step) for key, step in (("minimum", -1), ("maximum", 1)) if key in schema)
    elif schema.get("type") == "boolean":
        yield from ("maybe", "null", "2")
    elif "enum" in schema:
        yield from ("nothing-of-this", "null")
    elif schema.get("format") in ("uuid", "date-time"):
        yield from ("abc", "null", "\0")
    elif name == "cursor":
        yield from ("abc", "\0", "null", "AAAA", "eD0x")
    else:
        yield "\0"


PARAMETERS = [
    pytest.param(called, parameter["name"], parameter["schema"], id=f"{called} {parameter['name']}")
    for called in operations(*URLS)
    for parameter in called.operation.get("parameters", ())
    if parameter.get("in") == "query"
]


@pytest.mark.parametrize(("called", "name", "schema"), PARAMETERS)
def test_a_bad_value_is_400_and_named(called: Called, name: str, schema: dict[str, Any], settings: Settings) -> None:
    settings.ROOT_URLCONF = URLS[called.service]
    for value in bad_values_of(name, in_full(called, schema)):
        response = send(called, {name: value})
        assert (value, response.status_code) == (value, 400)
        assert (value, list(response.json()["error"]["details"]["fields"])) == (value, [name])


@pytest.mark.parametrize(("called", "name", "schema"), PARAMETERS)
def test_a_parameter_that_is_there_twice_is_400(called: Called, name: str, schema: Any, settings: Settings) -> None:
    settings.ROOT_URLCONF = URLS[called.service]
    response = send(called, {name: ["1", "1"]})
    assert (response.status_code, list(response.json()["error"]["details"]["fields"])) == (400, [name])


def in_full(called: Called, schema: dict[str, Any]) -> dict[str, Any]:
    return resolved(called.service, schema.get("allOf", [schema])[0])


def send(called: Called, query: dict[str, Any]) -> Any:
    needed = {
        each["name"]: next(iter(in_full(called, each["schema"]).get("enum", ())), "XBTUSD")
        for each in called.operation["parameters"]
        if each.get("in") == "query" and each.get("required")
    }
    path = called.path
    for each in called.operation["parameters"]:
        if each.get("in") == "path":
            path = path.replace(f"{{{each['name']}}}", str(uuid4()))
    client: APIClient = TraderClient() if called.service == "kraken" else UserServiceClient(make_user(roles=["admin"]))
    query_string = "&".join(
        f"{name}={quote(value, safe='')}"
        for name, values in {**needed, **query}.items()
        for value in (values if isinstance(values, list) else [values])
    )
    return client.generic(called.method.upper(), path, QUERY_STRING=query_string)


@pytest.mark.urls("user_service.urls")
@pytest.mark.parametrize(
    ("zone", "sentence"),
    [
        ("localtime", "One is Europe/Berlin."),
        ("Factory", None),
        ("posixrules", None),
        ("Europe/Berln", "Did you mean Europe/Berlin?"),
        ("europe/berlin", "Did you mean Europe/Berlin?"),
    ],
)
def test_what_is_no_time_zone_is_refused_with_a_near_one(zone: str, sentence: str | None) -> None:
    response = UserServiceClient(make_user()).patch("/api/v1/user/me", {"time_zone": zone})
    assert response.status_code == 400
    said = response.json()["error"]["details"]["fields"]["time_zone"][0]
    assert said.startswith("This is not an IANA time zone.")
    assert sentence is None or sentence in said


@pytest.mark.urls("user_service.urls")
@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\u200b", "\x85", "\ufeff", "\x00", "\n", "\ud800"])
def test_a_name_has_no_character_that_changes_how_it_is_read(character: str) -> None:
    response = UserServiceClient(make_user()).generic(
        "PATCH", "/api/v1/user/me", f'{{"name": "Ada \\u{ord(character):04x}evil"}}', content_type="application/json"
    )
    assert (response.status_code, list(response.json()["error"]["details"]["fields"])) == (400, ["name"])


@pytest.mark.urls("user_service.urls")
@pytest.mark.parametrize("email", ["x@💩.example", "a@[127.0.0.1]", "a@b", "a\u202e@example.com"])
def test_an_address_that_no_mail_reaches_opens_no_account(email: str) -> None:
    response = UserServiceClient().post("/api/v1/auth/register", {"email": email, "password": PASSWORD})
    assert (response.status_code, list(response.json()["error"]["details"]["fields"])) == (400, ["email"])
