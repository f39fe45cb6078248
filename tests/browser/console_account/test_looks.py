"""Every page of the account at both widths and in German."""

import pytest
import requests
from playwright.sync_api import expect

from tests.browser.console_account.looks import assert_looks_right, assert_speaks_german
from tests.browser.traders import Trader
from tests.browser.watch import WatchedPage

# The first test of a run starts the platform.
pytestmark = pytest.mark.timeout(300)

FOR_ANYONE = ["log-in", "register", "verify", "forgot", "reset", "email-change/confirm", "email-change/revert"]
FOR_TRADERS = [
    "",
    "account",
    "account/email",
    "account/password",
    "account/close",
    "account/export",
    "security",
    "security/authenticator",
    "security/off",
    "security/sessions",
    "security/machine-keys",
    "activity",
    "step-up",
    "onboarding/profile",
]


def _name(path: str) -> str:
    return path.replace("/", "-") or "overview"


@pytest.mark.parametrize("path", FOR_ANYONE)
def test_a_page_for_anyone_is_accessible_and_speaks_german(watched: WatchedPage, path: str) -> None:
    watched.go_to(f"/app/{path}")
    expect(watched.page.get_by_role("heading", level=1)).to_be_visible()

    assert_looks_right(watched, _name(path))
    assert_speaks_german(watched, _name(path))


CLIENT = f"python-requests/{requests.__version__}"


def test_every_page_of_a_trader_is_accessible_and_speaks_german(logged_in: WatchedPage, trader: Trader) -> None:
    trader.client.post("/api/v1/auth/api-keys", {"name": "A script", "scopes": ["read"]})
    for path in FOR_TRADERS:
        logged_in.go_to(f"/app/{path}")
        expect(logged_in.page.get_by_role("heading", level=1)).to_be_visible()

        assert_looks_right(logged_in, _name(path))
        # As the API names them
        devices = ("Chrome · Linux", "Safari · Linux", "Safari on Linux", "Chrome on Linux", "Python", CLIENT)
        assert_speaks_german(logged_in, _name(path), "Ada", "A script", trader.email, *devices)
        logged_in.page.get_by_role("button", name="English").click()
        expect(logged_in.page.locator("html")).to_have_attribute("lang", "en")
