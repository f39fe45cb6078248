"""Security of the account: authenticator, sessions, machine keys, activity."""

import time

import pyotp
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD
from tests.browser.console_account.looks import assert_looks_right
from tests.browser.traders import Trader
from tests.browser.watch import WatchedPage

pytestmark = pytest.mark.timeout(300)


def test_an_authenticator_is_set_up_by_a_drawn_code_and_switched_off_again(
    logged_in: WatchedPage, trader: Trader
) -> None:
    page = logged_in.page
    logged_in.go_to("/app/security")
    page.get_by_role("link", name="Set it up").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("img", name="QR code").locator("svg")).to_be_visible()
    assert_looks_right(logged_in, "authenticator-code")
    secret = page.locator(".secret").inner_text().replace(" ", "")
    page.get_by_label("Six digits of the app").fill("000")
    page.get_by_role("button", name="Switch it on").click()
    expect(page.get_by_label("Six digits of the app")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Six digits of the app").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Switch it on").click()
    expect(page.locator(".codes li")).to_have_count(10)
    assert_looks_right(logged_in, "recovery-codes")
    page.get_by_role("link", name="I have written them down").click()

    page.get_by_role("link", name="Switch it off").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Code of your authenticator").fill(pyotp.TOTP(secret).at(int(time.time()), counter_offset=1))
    page.get_by_role("button", name="Switch it off").click()
    expect(page.get_by_text("Two-factor log-in is off.")).to_be_visible()


def test_another_session_is_ended_from_the_list(logged_in: WatchedPage, trader: Trader) -> None:
    page = logged_in.page
    logged_in.go_to("/app/security/sessions")
    expect(page.get_by_role("row")).to_have_count(3)  # with the head, and the session of the API's client

    page.get_by_role("button", name="End it").click()

    expect(page.get_by_text("The session has ended.")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page.get_by_text("this one")).to_be_visible()


def test_a_machine_key_is_shown_once_and_revoked(logged_in: WatchedPage) -> None:
    page = logged_in.page
    logged_in.go_to("/app/security/machine-keys")
    page.get_by_label("Name").fill("A script")
    page.get_by_role("button", name="Make the key").click()
    _prove(logged_in)
    expect(page.locator(".secret")).to_contain_text("mk_")
    assert_looks_right(logged_in, "machine-key-made")
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_role("rowheader", name="A script")).to_be_visible()

    page.get_by_role("button", name="Revoke").click()

    expect(page.get_by_text("The key is revoked")).to_be_visible()
    expect(page.get_by_role("rowheader", name="A script")).to_have_count(0)


def _prove(watched: WatchedPage) -> None:
    """Where the page asks for a fresh proof first."""
    page = watched.page
    page.wait_for_load_state()
    if page.get_by_role("heading", name="Confirm that it is you").count():
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm", exact=True).click()


def test_an_address_without_a_host_name_is_told_where_passkeys_cannot_be(logged_in: WatchedPage) -> None:
    """Browsers take passkeys for host names only, and the platform of the tests has an address."""
    page = logged_in.page
    logged_in.go_to("/app/security")
    page.get_by_role("button", name="Add a passkey").click()
    _prove(logged_in)

    expect(page.locator("[data-passkey-error]")).to_be_visible()
    assert page.locator("[data-passkey-error]").inner_text()


def test_what_happened_is_listed(logged_in: WatchedPage) -> None:
    logged_in.go_to("/app/activity")

    expect(logged_in.page.get_by_role("cell", name="you").first).to_be_visible()
