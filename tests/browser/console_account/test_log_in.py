"""Logging in: by password, code, recovery code, keyboard, and with a new password."""

import time

import pyotp
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD
from tests.browser.console_account.looks import assert_looks_right
from tests.browser.traders import Trader, expect_overview, fill_log_in, log_in
from tests.browser.watch import WatchedPage
from tests.support.mails import mailed_link

pytestmark = pytest.mark.timeout(300)


def test_a_wrong_password_is_told_at_the_form_and_the_address_stays(watched: WatchedPage, trader: Trader) -> None:
    watched.go_to("/app/log-in")
    fill_log_in(watched, trader.email, "not the password at all")

    expect(watched.page.get_by_role("alert").filter(has_text="password")).to_be_visible()
    expect(watched.page.get_by_label("E-mail address")).to_have_value(trader.email)
    expect(watched.page.get_by_label("Password")).to_have_value("")
    assert_looks_right(watched, "log-in-wrong")


def test_with_a_second_factor_the_log_in_asks_for_a_code_and_says_that_one_is_wrong(
    watched: WatchedPage, trader: Trader
) -> None:
    trader.turn_second_factor_on()
    page = watched.page
    watched.go_to("/app/log-in")
    fill_log_in(watched, trader.email)

    code = page.get_by_label("Code of your authenticator")
    assert_looks_right(watched, "log-in-code")
    code.fill("12")
    page.get_by_role("button", name="Go on").click()
    expect(code).to_have_attribute("aria-invalid", "true")
    # The code that turned it on is used up; the next one counts already.
    code.fill(pyotp.TOTP(trader.secret).at(int(time.time()), counter_offset=1))
    page.get_by_role("button", name="Go on").click()

    expect_overview(watched)


def test_a_recovery_code_logs_in_once(watched: WatchedPage, trader: Trader) -> None:
    trader.turn_second_factor_on()
    page, spent = watched.page, trader.recovery_codes.pop()

    def enter() -> None:
        watched.go_to("/app/log-in")
        fill_log_in(watched, trader.email)
        page.get_by_label("Code of your authenticator").fill(spent)
        page.get_by_role("button", name="Go on").click()

    enter()
    expect_overview(watched)
    page.goto("about:blank")  # the overview would ask on without its cookie
    page.context.clear_cookies()
    enter()

    expect(page.get_by_label("Code of your authenticator")).to_have_attribute("aria-invalid", "true")


def test_by_the_keyboard_alone(watched: WatchedPage, trader: Trader) -> None:
    page = watched.page
    watched.go_to("/app/log-in")

    for label, text in (("E-mail address", trader.email), ("Password", PASSWORD)):
        for _ in range(5):
            page.keyboard.press("Tab")
            if page.get_by_label(label).evaluate("field => field === document.activeElement"):
                break
        page.keyboard.type(text)
    page.keyboard.press("Enter")

    expect_overview(watched)


def test_a_forgotten_password_is_replaced_by_the_link_of_the_mail(watched: WatchedPage, trader: Trader) -> None:
    page, password = watched.page, "another horse battery staple"
    watched.go_to("/app/log-in")
    page.get_by_role("link", name="Forgot your password?").click()
    page.get_by_label("E-mail address").fill(trader.email)
    page.get_by_role("button", name="Send the code").click()
    expect(page.get_by_text("a mail with a code is on its way")).to_be_visible()

    watched.go_to(mailed_link(trader.email, "reset"))
    page.get_by_label("New password").fill("short")
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_label("New password")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("New password").fill(password)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_text("Your new password is set")).to_be_visible()

    fill_log_in(watched, trader.email)
    expect(page.get_by_role("alert").filter(has_text="password")).to_be_visible()
    log_in(watched, trader.email, password)
