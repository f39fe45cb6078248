"""The pages that document the API, through the gateway: they need nothing but the platform."""

import pytest
from playwright.sync_api import expect

from dev.base.secrets import SERVICES
from tests.browser.watch import WatchedPage

# The first test of a run starts the platform.
pytestmark = pytest.mark.timeout(240)

AN_OPERATION = {"user": "/api/v1/auth/login", "kraken": "/api/v1/kraken/connect"}


@pytest.mark.parametrize("service", SERVICES)
def test_the_page_shows_the_document(watched_by_staff: WatchedPage, service: str) -> None:
    page = watched_by_staff.page

    watched_by_staff.go_to(f"/api/docs/{service}/")

    expect(page.locator("#swagger-ui .info .title")).to_be_visible()
    document = page.request.get(f"{watched_by_staff.base_url}/api/schema/{service}/?format=json").json()
    operations = sum(len(path) for path in document["paths"].values())
    expect(page.locator(".opblock")).to_have_count(operations)
    if operations:
        expect(page.locator(".opblock").first).to_be_visible()


@pytest.mark.parametrize(("service", "path"), AN_OPERATION.items())
def test_an_operation_opens_and_shows_its_answers(watched_by_staff: WatchedPage, service: str, path: str) -> None:
    page = watched_by_staff.page
    watched_by_staff.go_to(f"/api/docs/{service}/")

    operation = page.locator(".opblock", has=page.locator(f'[data-path="{path}"]'))
    operation.locator(".opblock-summary").click()

    expect(operation.get_by_role("heading", name="Responses")).to_be_visible()


def test_the_page_asks_no_validator_elsewhere(watched_by_staff: WatchedPage) -> None:
    """On a local host name Swagger UI never asks its validator, so watching requests proves nothing here."""
    watched_by_staff.go_to("/api/docs/user/")

    expect(watched_by_staff.page.locator(".opblock").first).to_be_visible()
    assert watched_by_staff.page.evaluate("ui.getConfigs().validatorUrl") is None
