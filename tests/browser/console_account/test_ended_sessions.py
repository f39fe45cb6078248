"""Sessions that end under a page that is open."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD
from tests.browser.traders import Trader, fill_log_in
from tests.browser.watch import WatchedPage

pytestmark = pytest.mark.timeout(300)


def test_what_was_typed_is_there_again_after_the_cookie_went(logged_in: WatchedPage, trader: Trader) -> None:
    page = logged_in.page
    logged_in.go_to("/app/account")
    page.get_by_label("Name").fill("Typed in between")
    page.context.clear_cookies(name="console")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("Your session has ended, and nothing was sent.")).to_be_visible()
    fill_log_in(logged_in, trader.email)

    expect(page.get_by_label("Name")).to_have_value("Typed in between")
    assert trader.client.get("/api/v1/user/me")["name"] == "Ada"
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert trader.client.get("/api/v1/user/me")["name"] == "Typed in between"


def test_what_was_typed_is_there_again_after_another_ended_the_session(logged_in: WatchedPage, trader: Trader) -> None:
    page = logged_in.page
    logged_in.go_to("/app/account/email")
    page.get_by_label("New e-mail address").fill("typed@example.com")
    sessions = trader.client.get("/api/v1/auth/sessions")["results"]
    other = next(session for session in sessions if not session["is_current"])
    trader.client._call("DELETE", f"/api/v1/auth/sessions/{other['id']}", accept=(204,))
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Send the link").click()

    expect(page.get_by_text("Your session has ended, and nothing was sent.")).to_be_visible()
    fill_log_in(logged_in, trader.email)
    expect(page.get_by_label("New e-mail address")).to_have_value("typed@example.com")


def test_a_log_out_in_one_tab_is_told_in_the_other(logged_in: WatchedPage) -> None:
    first = logged_in.page
    expect(first.locator("html")).to_have_attribute("data-connection", "live")
    second = first.context.new_page()
    second.goto(f"{logged_in.base_url}/app/account")
    second.locator("details.drop summary").click()
    second.get_by_role("button", name="Log out").click()
    expect(second.get_by_role("button", name="Log in", exact=True)).to_be_visible()

    expect(first.get_by_text("You are logged out.")).to_be_visible()
    expect(first.get_by_role("link", name="Log in again")).to_be_visible()
    # The stream of the first tab was refused, which Chromium writes down.
    logged_in.forgive("401", "/app/stream")
