"""Staff use their site in a browser, through the gateway."""

from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import StaffAccount
from tests.browser.watch import WatchedPage

# The first test of a run starts the platform.
pytestmark = pytest.mark.timeout(240)


def _log_in(watched: WatchedPage, staff: StaffAccount, password: str | None = None) -> None:
    watched.go_to("/admin/")
    page = watched.page
    page.get_by_label("Email").fill(staff.email)
    page.get_by_label("Password:", exact=True).fill(password or staff.password)
    page.get_by_role("button", name="Log in").click()


def test_staff_log_in_and_out(watched: WatchedPage, staff: StaffAccount) -> None:
    page = watched.page

    _log_in(watched, staff)
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()
    page.get_by_role("button", name="Log out").click()

    expect(page.get_by_text("Logged out", exact=False).first).to_be_visible()
    watched.go_to("/admin/")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_a_wrong_password_is_refused_on_the_form(watched: WatchedPage, staff: StaffAccount) -> None:
    _log_in(watched, staff, "not the password")

    expect(watched.page.get_by_text("Please enter the correct")).to_be_visible()


def test_staff_change_a_record(watched: WatchedPage, staff: StaffAccount) -> None:
    page = watched.page
    _log_in(watched, staff)
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()

    watched.go_to(f"/admin/accounts/user/?q={staff.email}")
    page.get_by_role("link", name=staff.email).click()
    page.get_by_label("Name:", exact=True).fill("Grace Hopper")
    page.get_by_role("button", name="Save", exact=True).click()

    expect(page.get_by_text("was changed successfully")).to_be_visible()
    page.get_by_role("link", name=staff.email).first.click()
    expect(page.get_by_label("Name:", exact=True)).to_have_value("Grace Hopper")


def test_staff_halt_an_account_and_lift_it(watched: WatchedPage, staff: StaffAccount) -> None:
    page = watched.page
    _log_in(watched, staff)
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()
    subject, reason = str(uuid4()), f"Suspicious orders {uuid4()}"

    watched.go_to("/admin/risk/halt/add/")
    page.get_by_label("Scope:").select_option("user")
    page.get_by_label("Id:", exact=True).fill(subject)
    page.get_by_label("Level:").select_option("halted")
    page.get_by_label("Reason:").fill(reason)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()

    watched.go_to(f"/admin/risk/halt/?q={subject}")
    expect(page.get_by_text(reason)).to_be_visible()
    page.locator("#result_list tbody a").first.click()
    page.get_by_label("Lift it because:").fill("Explained by the owner")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()

    page.locator("#result_list tbody a").first.click()
    expect(page.get_by_label("Lift it because:")).to_have_count(0)


def test_the_live_switch_asks_for_a_reason(watched: WatchedPage, staff: StaffAccount) -> None:
    page = watched.page
    _log_in(watched, staff)
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()

    watched.go_to("/admin/risk/liveswitch/")
    page.locator("#result_list tbody a").first.click()
    switch = page.get_by_label("Live trading is on")
    expect(switch).not_to_be_checked()
    switch.check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("This field is required.")).to_be_visible()

    watched.go_to("/admin/risk/liveswitch/")
    page.locator("#result_list tbody a").first.click()
    expect(page.get_by_label("Live trading is on")).not_to_be_checked()


def test_the_page_of_orders_that_need_a_person_is_there(watched: WatchedPage, staff: StaffAccount) -> None:
    page = watched.page
    _log_in(watched, staff)
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()

    page.get_by_role("link", name="Orders that need a person").click()

    expect(page.get_by_role("heading", name="Select order that needs a person to change")).to_be_visible()
    expect(page.get_by_text("0 orders")).to_be_visible()
