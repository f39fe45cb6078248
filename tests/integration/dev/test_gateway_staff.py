"""Flower and the documents of the API, behind the staff site's log-in."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import Gateway, Gateways

DOCUMENT, PAGE, FLOWER = "/api/schema/kraken/?format=json", "/api/docs/kraken/", "/flower/workers?json=1"


@pytest.fixture(scope="module")
def running(gateways: Gateways) -> Gateway:
    return gateways.start("staff", {})


@pytest.fixture
def staff(running: Gateway) -> Iterator[Any]:
    site = running.services["staff"]
    yield site
    site.authorizes = 204


@pytest.mark.parametrize(("path", "service", "area"), [
    (DOCUMENT, "kraken", "documents"), (PAGE, "kraken", "documents"), (FLOWER, "flower", "flower"),
])  # fmt: skip
def test_who_the_staff_site_lets_in_gets_through(
    running: Gateway, staff: Any, path: str, service: str, area: str
) -> None:
    response, content = running.ask("GET", path, Cookie="sessionid=mine", Authorization="Bearer mine")

    assert response.status == 200
    answer = json.loads(content)
    assert (answer["service"], answer["path"]) == (service, path)
    assert staff.asked[-1] == f"GET /admin/authorize/{area}"


def test_flower_sees_neither_cookies_nor_tokens(running: Gateway) -> None:
    _, content = running.ask("GET", FLOWER, Cookie="sessionid=mine", Authorization="Bearer mine")

    headers = json.loads(content)["headers"]
    assert "mine" not in str(headers)
    assert headers["X-Forwarded-For"] == "127.0.0.1"


@pytest.mark.parametrize("path", [PAGE, FLOWER])
def test_a_page_without_a_log_in_leads_to_it(running: Gateway, staff: Any, path: str) -> None:
    staff.authorizes = 401

    response, _ = running.ask("GET", path, Host="evil.example")

    assert response.status == 302
    assert response.getheader("Location") == f"/admin/login/?next={path}"


def test_a_document_without_a_log_in_is_401_in_json(running: Gateway, staff: Any) -> None:
    staff.authorizes = 401

    response, error = running.error("GET", DOCUMENT)

    assert (response.status, error["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize("path", [DOCUMENT, PAGE, FLOWER])
def test_a_role_that_may_not_is_403_and_a_site_that_is_broken_503(running: Gateway, staff: Any, path: str) -> None:
    for answered, status in ((403, 403), (500, 503)):
        staff.authorizes = answered
        response, _ = running.error("GET", path)
        assert response.status == status


def test_the_figures_of_flower_are_not_here(running: Gateway) -> None:
    asked = len(running.services["flower"].asked)

    assert running.error("GET", "/flower/metrics")[0].status == 404
    assert running.error("GET", "/gateway-authorize/flower")[0].status == 404
    assert len(running.services["flower"].asked) == asked


def test_without_the_staff_site_nobody_gets_in(gateways: Gateways) -> None:
    alone = gateways.start("unasked", {}, absent=frozenset({"staff"}))

    for path in (DOCUMENT, PAGE, FLOWER):
        response, _ = alone.error("GET", path)
        assert response.status == 503
        assert response.getheader("Retry-After") == "2"
