"""The account's own pages."""

import zipfile

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD
from tests.browser.console_account.looks import assert_looks_right
from tests.browser.traders import Trader, fill_log_in, log_in, new_address
from tests.browser.watch import WatchedPage
from tests.support.mails import mailed_link

pytestmark = pytest.mark.timeout(300)


def _prove(watched: WatchedPage) -> None:
    """A fresh proof, which the page asks for before it does what was sent."""
    page = watched.page
    expect(page.get_by_role("heading", name="Confirm that it is you")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm", exact=True).click()


def test_the_profile_is_changed_and_times_follow_its_zone(logged_in: WatchedPage) -> None:
    page = logged_in.page
    logged_in.go_to("/app/account")
    page.get_by_label("Time zone").fill("Nowhere/At all")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Time zone")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Name").fill("Ada Lovelace")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_text("Times in Europe/Berlin")).to_be_visible()
    expect(page.locator("summary", has_text="Ada Lovelace")).to_be_visible()


def test_the_password_is_changed_and_only_the_new_one_logs_in(logged_in: WatchedPage, trader: Trader) -> None:
    page, password = logged_in.page, "another horse battery staple"
    logged_in.go_to("/app/account/password")
    page.get_by_label("Current password").fill("not the password at all")
    page.get_by_label("New password").fill(password)
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_label("Current password")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill(password)
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()

    page.context.clear_cookies()
    log_in(logged_in, trader.email, password)


def test_the_address_is_changed_by_the_link_to_the_new_one(logged_in: WatchedPage, trader: Trader) -> None:
    page, email = logged_in.page, new_address()
    logged_in.go_to("/app/account/email")
    page.get_by_label("New e-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_text(f"Changes to {email}")).to_be_visible()
    assert_looks_right(logged_in, "account-changing")

    logged_in.go_to(mailed_link(email, "email-change/confirm"))
    page.get_by_role("button", name="Make the change").click()

    expect(page.get_by_text("This is the e-mail address of your account from now on.")).to_be_visible()
    page.context.clear_cookies()
    log_in(logged_in, email)


def test_the_export_is_an_archive(logged_in: WatchedPage) -> None:
    page = logged_in.page
    logged_in.go_to("/app/account/export")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Make the archive").click()
        _prove(logged_in)

    assert downloading.value.suggested_filename == "muckard-export.zip"
    with zipfile.ZipFile(downloading.value.path()) as archive:
        assert archive.testzip() is None
        assert archive.namelist()


def test_a_closed_account_lets_no_one_in(logged_in: WatchedPage, trader: Trader) -> None:
    page = logged_in.page
    logged_in.go_to("/app/account/close")
    page.get_by_role("button", name="Close the account").click()
    expect(page.get_by_label("Close my account for good")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Close my account for good").check()
    page.get_by_role("button", name="Close the account").click()
    _prove(logged_in)
    expect(page.get_by_role("heading", name="Your account is closed")).to_be_visible()
    assert_looks_right(logged_in, "closed")

    logged_in.go_to("/app/log-in")
    fill_log_in(logged_in, trader.email)
    expect(page.get_by_role("alert").filter(has_text="password")).to_be_visible()
