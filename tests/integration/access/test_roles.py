"""Who may call what: every call of every service by every kind of caller, compared with the table in docs/roles.md."""

from importlib import import_module
from typing import Any

import pytest
from pytest_django import Settings

from apps.core.api.views import ApiView
from apps.core.identity.access import ByAccess
from apps.ops.access_table import NO_RULE, URLS, Call, calls_of, views_of
from service_common.settings.factory import MIDDLEWARE
from tests.factories.accounts import FAST_HASHERS, UserServiceClient, make_user, sign_tokens
from tests.factories.service_tokens import call_as
from tests.integration.access.callers import CALLERS, Row, client_of, code_of, filled_in, outcome_of, script_of, table

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(240)]

# Where an empty body would be refused for want of a token.
_REFRESH = ("/api/v1/auth/logout",)


@pytest.fixture(params=sorted(URLS))
def service(request: pytest.FixtureRequest, settings: Settings, market_of_its_own: None) -> str:
    settings.ROOT_URLCONF = URLS[request.param]
    settings.PASSWORD_HASHERS = FAST_HASHERS
    settings.MIDDLEWARE = MIDDLEWARE
    sign_tokens(settings)
    # Their paths have the name of the process's service, which `call_as` changes.
    for urls in URLS.values():
        import_module(urls)
    call_as(settings, "user")
    return str(request.param)


def row_of(call: Call, rows: dict[tuple[str, str, str], Row]) -> Row | None:
    path = call.path.replace("/staff/", "/{service}/")
    return rows.get((call.service, call.method, path)) or rows.get(("every", call.method, path))


def test_every_call_has_a_rule_and_a_row(service: str) -> None:
    rows = table()
    assert [f"{call.method} {call.path}" for call in calls_of(service) if call.access is None] == [], NO_RULE
    unlisted = [f"{call.method} {call.path}" for call in calls_of(service) if row_of(call, rows) is None]
    assert unlisted == [], "run `manage.py check_contracts --write`, and look at what it adds to docs/roles.md"


def test_the_page_lists_no_call_that_is_gone() -> None:
    rows, calls = table(), [call for service in URLS for call in calls_of(service)]
    there = {(name, call.method, call.path.replace("/staff/", "/{service}/")) for call in calls for name in (
        call.service, "every")}  # fmt: skip
    assert sorted(set(rows) - there) == []


@pytest.mark.parametrize("caller", CALLERS)
def test_each_call_is_answered_as_the_page_says(service: str, caller: str) -> None:
    rows, wrong = table(), []
    for call in calls_of(service):
        row = row_of(call, rows)
        assert row is not None, f"{call.method} {call.path} is not in docs/roles.md"
        if row.who == "anyone" and caller not in ("no token", "trader"):
            continue  # no token is looked at; documents and health take long to make
        # A client of its own for each call: some end the session that they are made with.
        client = client_of(caller, service=service)
        response = client.generic(call.method, filled_in(call.path), **_body_of(call))
        said = b"" if response.streaming else response.content
        if row.who == caller == "service" and b"This service may not call it." in said:
            continue  # the token is good, and the view names which services call it
        if (seen := outcome_of(response)) != row.expected_of(caller):
            wrong.append(f"{call.method} {call.path}: {row.expected_of(caller)} expected, {response.status_code} seen")
        assert response.status_code != 500, f"{call.method} {call.path}"
        assert seen
    assert wrong == []


@pytest.mark.parametrize("scope", ["read", "trade:paper", "trade:live"])
def test_machine_keys_are_answered_as_the_page_says(service: str, scope: str) -> None:
    rows, wrong = table(), []
    for call in calls_of(service):
        row = row_of(call, rows)
        assert row is not None, f"{call.method} {call.path} is not in docs/roles.md"
        if row.machine_key:
            response = script_of(scope).generic(call.method, filled_in(call.path), **_body_of(call))
            # With ids that name nothing, no mode is known: scopes themselves are tested where bots and keys are.
            is_refused = code_of(response) in ("machine_key_not_allowed", "forbidden", "invalid_token")
            if is_refused is not (row.machine_key == "no"):
                wrong.append(f"{call.method} {call.path}: {row.machine_key} expected, {response.status_code} seen")
    assert wrong == []


def test_methods_that_a_path_does_not_have_are_not_taken(service: str) -> None:
    taken: dict[str, set[str]] = {}
    for call in calls_of(service):
        if call.path.startswith("/api/v1/"):
            taken.setdefault(call.path, set()).add(call.method)
    for path, methods in taken.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - methods:
            client = client_of("admin", service=service)  # throttles count attempts with any method
            response = client.generic(method, filled_in(path), data="{}", content_type="application/json")
            assert (path, method, response.status_code) == (path, method, 405)


def test_no_view_has_a_permission_beside_its_rule(service: str) -> None:
    views = {view for _, view in views_of(service) if isinstance(view, type) and issubclass(view, ApiView)}
    assert {view for view in views if tuple(view.permission_classes) != (ByAccess,)} == set()


def _body_of(call: Call) -> dict[str, Any]:
    if call.method == "GET":
        return {}
    if call.path in _REFRESH:
        tokens = UserServiceClient(make_user(roles=["trader"])).tokens
        assert tokens is not None
        return {"data": f'{{"refresh": "{tokens.refresh}"}}', "content_type": "application/json"}
    return {"data": "{}", "content_type": "application/json"}
