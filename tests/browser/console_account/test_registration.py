"""From opening an account to the first bot."""

import os

import pytest
from playwright.sync_api import expect

from apps.ops.smoke_test.client import PlatformClient
from apps.ops.smoke_test.market import played_market
from apps.ops.smoke_test.steps import BOT
from tests.browser.conftest import PASSWORD
from tests.browser.console_account.looks import assert_looks_right
from tests.browser.traders import expect_overview, fill_log_in, new_address
from tests.browser.watch import WatchedPage
from tests.support.mails import mailed_link, mails_to
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)


def _register(watched: WatchedPage, email: str) -> None:
    page = watched.page
    watched.go_to("/app/register")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)


def test_a_newcomer_registers_confirms_the_address_and_is_led_to_the_first_bot(
    watched: WatchedPage, platform_url: str
) -> None:
    page, email = watched.page, new_address()
    _register(watched, email)
    page.get_by_role("button", name="Open the account").click()
    expect(page.get_by_text("Your account is open")).to_be_visible()

    watched.go_to(mailed_link(email, "verify"))
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("Your e-mail address is confirmed.")).to_be_visible()
    fill_log_in(watched, email)
    expect_overview(watched)

    watched.go_to("/app/onboarding")
    go_on = page.get_by_role("button", name="Go on")
    page.get_by_label("Country of residence").select_option("DE")
    page.get_by_label("I am of age.").check()
    go_on.click()
    page.get_by_label("I have read the terms").check()
    assert_looks_right(watched, "onboarding-terms")
    go_on.click()
    expect(page.get_by_label("How much may be lost in a year?")).to_be_visible()
    assert_looks_right(watched, "onboarding-risk")
    go_on.click()
    expect(page.get_by_role("heading", name="No account yet")).to_be_visible()
    assert_looks_right(watched, "onboarding-key")
    page.get_by_role("link", name="Open a paper account").click()
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_text("Your paper account is open.")).to_be_visible()
    page.get_by_label("Paper account").check()
    go_on.click()
    expect(page.get_by_role("heading", name="No bot yet")).to_be_visible()
    assert_looks_right(watched, "onboarding-bot")

    _start_a_bot(platform_url, email)
    page.reload()
    page.get_by_label("First").check()
    go_on.click()
    expect(page.get_by_role("heading", name="You are set up")).to_be_visible()
    assert_looks_right(watched, "onboarding-done")
    page.get_by_role("link", name="To the overview").click()
    expect_overview(watched)


def _start_a_bot(url: str, email: str) -> None:
    """By the API: the pages of bots have tests of their own."""
    client = PlatformClient(url)
    client.token = client.post("/api/v1/auth/login", {"email": email, "password": PASSWORD})["access"]
    market = played_market(os.environ["MUCKARD_PAPER_EXCHANGE_URL"])
    key = client.get("/api/v1/kraken/keys")["results"][0]
    wanted = {"name": "First", "pair": market.pair, "interval_minutes": market.interval_minutes}
    bot = client.post("/api/v1/bot", BOT | wanted | {"credential_id": key["id"]})
    client.post(f"/api/v1/bot/{bot['id']}/start")
    eventually(lambda: client.get(f"/api/v1/bot/{bot['id']}/status")["state"] == "running", what="the running bot")


def test_a_double_click_opens_one_account(watched: WatchedPage) -> None:
    email, sent = new_address(), []
    page = watched.page
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    _register(watched, email)

    page.get_by_role("button", name="Open the account").dblclick()

    expect(page.get_by_text("Your account is open")).to_be_visible()
    assert len(sent) == 1
    mailed_link(email, "verify")
    # A second registration would have been told to the owner of the address.
    assert len(mails_to(email)) == 1


def test_a_weak_password_is_told_at_its_field(watched: WatchedPage) -> None:
    page, email = watched.page, new_address()
    _register(watched, email)
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Open the account").click()

    expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("E-mail address")).to_have_value(email)
    assert_looks_right(watched, "register-wrong")
