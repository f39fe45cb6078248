"""Who may call what, through the gateway: one request for each call and caller, compared with docs/roles.md."""

from collections.abc import Iterator

import pytest
import requests

from apps.core.identity import service_token
from apps.ops.access_table import Call, calls_of
from tests.acceptance.bad_input.asking import address, log_in
from tests.integration.access.callers import CALLERS, code_of, filled_in, outcome_of, table
from tests.support.gateway import Gateway
from tests.support.members import SCOPES, members

pytestmark = pytest.mark.timeout(300)

SERVICES = ("user", "kraken")
LOG_OUT = "/api/v1/auth/logout"


@pytest.fixture(scope="module")
def url(open_gateway: Gateway) -> str:
    return f"http://127.0.0.1:{open_gateway.profile.ports['gateway']}"


def routed(service: str) -> Iterator[Call]:
    """The calls that the gateway passes on; the one that ends the caller's session comes last."""
    calls = [call for call in calls_of(service) if call.path.startswith(("/api/v1/", "/.well-known/"))]
    yield from sorted(calls, key=lambda call: call.path == LOG_OUT)


def ask(url: str, call: Call, headers: dict[str, str], refresh: str = "") -> requests.Response:
    body = None if call.method == "GET" else {"refresh": refresh} if call.path == LOG_OUT and refresh else {}
    headers = {"Accept": "application/json, text/event-stream", **headers}
    with requests.request(
        call.method, url + filled_in(call.path), json=body, headers=headers, timeout=60, stream=True
    ) as answer:
        # A stream has no end: its first line is its answer.
        if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            _ = answer.content  # read before the connection is given back
        return answer


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("service", SERVICES)
def test_each_call_is_answered_as_the_page_says(service: str, caller: str, url: str) -> None:
    rows, headers, refresh, wrong = table(), address(), "", []
    if caller == "no token":
        refresh = str(log_in(url, members().emails["trader"]).json()["refresh"])
    elif caller == "service":
        headers["Authorization"] = f"Bearer {service_token.mint(audience=service)}"
    else:
        headers["Authorization"] = f"Bearer {log_in(url, members().emails[caller]).json()['access']}"
    for call in routed(service):
        row = rows[service, call.method, call.path]
        if row.who == "anyone" and caller not in ("no token", "trader"):
            continue  # no token is looked at
        answer = ask(url, call, headers, refresh)
        if outcome_of(answer) != row.expected_of(caller) or answer.status_code >= 500:
            wrong.append(f"{call.method} {call.path}: {row.expected_of(caller)} expected, {answer.status_code} seen")
    assert wrong == []


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("service", SERVICES)
def test_machine_keys_are_answered_as_the_page_says(service: str, scope: str, url: str) -> None:
    rows, wrong = table(), []
    headers = {"Authorization": f"Bearer {members().machine_keys[scope]}", **address()}
    for call in routed(service):
        row = rows[service, call.method, call.path]
        if row.machine_key:
            answer = ask(url, call, headers)
            is_refused = code_of(answer) in ("machine_key_not_allowed", "forbidden", "invalid_token")
            if is_refused is not (row.machine_key == "no") or answer.status_code >= 500:
                wrong.append(f"{call.method} {call.path}: {row.machine_key} expected, {answer.status_code} seen")
    assert wrong == []


@pytest.mark.parametrize("service", SERVICES)
def test_what_services_call_among_themselves_is_not_routed(service: str, url: str) -> None:
    headers = {"Authorization": f"Bearer {service_token.mint(audience=service)}", **address()}
    for call in calls_of(service):
        if call.path.startswith(("/internal/", "/metrics")):
            assert ask(url, call, headers).status_code == 404
