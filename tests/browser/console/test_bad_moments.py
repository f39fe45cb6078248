"""What goes wrong while a page is open: the stream breaks, the session ends, a service is away, a double click."""

import signal
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, StorageState, expect

from tests.browser.conftest import PASSWORD, TIMEOUT_MS
from tests.browser.traders import Trader, fill_log_in, log_in
from tests.browser.watch import WatchedPage
from tests.support.platform import running
from tests.support.signals import frozen

pytestmark = pytest.mark.timeout(300)


def fill_form(page: Page, name: str) -> None:
    page.get_by_label("Name").fill(name)
    for field, value in (("fast", "1"), ("slow", "3"), ("quote_budget", "100")):
        page.locator(f"[name$={field}]").fill(value)


def connection(watched: WatchedPage, state: str) -> None:
    expect(watched.page.locator("html")).to_have_attribute("data-connection", state)


def test_a_stream_that_breaks_is_told_and_resumes(mine: WatchedPage, bot: dict[str, Any]) -> None:
    page = mine.page
    mine.go_to(f"/app/bots/{bot['id']}")
    connection(mine, "live")

    for each in running("stream"):
        each.send(signal.SIGKILL)
    connection(mine, "unavailable")
    expect(page.get_by_text("A part of the platform does not answer.")).to_be_visible()

    # The supervisor starts it again, and the browser connects by itself.
    connection(mine, "live")
    expect(page.get_by_text("A part of the platform does not answer.")).to_be_hidden()
    first = page.locator("#panel-trades tbody tr").first
    shown = first.inner_text()
    expect(first).not_to_have_text(shown, timeout=60_000)
    mine.forgive("Failed to load resource")


def test_offline_looks_different(mine: WatchedPage) -> None:
    page = mine.page
    mine.go_to("/app/")
    connection(mine, "live")

    with frozen(running("stream")):
        page.context.set_offline(True)
        connection(mine, "offline")
        expect(page.get_by_text("You are offline.")).to_be_visible()

        page.context.set_offline(False)
        connection(mine, "live")
    mine.forgive("Failed to load resource")


def test_a_stream_that_falls_silent_is_stale_until_it_speaks_again(mine: WatchedPage) -> None:
    mine.page.clock.install()
    with mine.page.expect_response("**/app/stream*"):
        mine.go_to("/app/")
    connection(mine, "live")

    with frozen(running("stream")):
        mine.page.clock.fast_forward(60_000)
        connection(mine, "stale")
        expect(mine.page.get_by_text("These figures are old")).to_be_visible()

    connection(mine, "live")


def test_a_start_that_another_device_was_quicker_with_is_refused_on_the_page(
    mine: WatchedPage, trader: Trader, paper_key: dict[str, Any]
) -> None:
    made = trader.bot(paper_key, name="Started elsewhere")
    # Without the stream the page does not learn of the other device by itself.
    mine.page.route("**/app/stream*", lambda route: route.abort())
    mine.go_to(f"/app/bots/{made['id']}")
    trader.client.post(f"/api/v1/bot/{made['id']}/start")

    mine.page.get_by_role("button", name="Start", exact=True).click()

    expect(mine.page.locator("main [role=alert]").first).to_contain_text("running")
    trader.client.post(f"/api/v1/bot/{made['id']}/stop")
    mine.forgive("Failed to load resource")


def test_a_log_out_in_one_tab_logs_the_other_out(browser: Browser, platform_url: str) -> None:
    trader = Trader.registered(platform_url)
    context = browser.new_context()
    first, second = (WatchedPage.open(context, platform_url) for _ in range(2))
    log_in(first, trader.email)
    second.go_to("/app/")

    first.page.locator("header summary").click()
    first.page.get_by_role("button", name="Log out").click()
    expect(first.page.get_by_role("button", name="Log in", exact=True)).to_be_visible()

    second.page.reload()
    expect(second.page.get_by_role("button", name="Log in", exact=True)).to_be_visible()
    context.close()


def test_nothing_typed_is_lost_when_the_session_ends_in_a_form(
    browser: Browser, platform_url: str, paper_key: dict[str, Any], trader: Trader
) -> None:
    context = browser.new_context()
    context.set_default_timeout(TIMEOUT_MS)
    watched = WatchedPage.open(context, platform_url)
    log_in(watched, trader.email)
    watched.go_to("/app/bots/new/sma_cross")
    page = watched.page
    fill_form(page, "Typed before the end")
    session = [each["name"] for each in context.cookies() if each["name"] in ("console", "__Host-console")]
    context.clear_cookies(name=session[0])

    page.get_by_role("button", name="Make the bot").click()
    expect(page.get_by_text("your form comes back as you filled it in")).to_be_visible()
    fill_log_in(watched, trader.email)

    expect(page.get_by_label("Name")).to_have_value("Typed before the end")
    context.close()


def test_a_double_click_makes_one_bot(mine: WatchedPage, trader: Trader, paper_key: dict[str, Any]) -> None:
    page = mine.page
    mine.go_to("/app/bots/new/sma_cross")
    fill_form(page, "Clicked twice")

    page.get_by_role("button", name="Make the bot").dblclick()

    expect(page.get_by_role("heading", name="Clicked twice")).to_be_visible()
    names = [each["name"] for each in trader.client.get("/api/v1/bot", limit=100)["results"]]
    assert names.count("Clicked twice") == 1


def test_an_edit_that_another_tab_overtook_is_refused_and_keeps_what_was_typed(
    browser: Browser, platform_url: str, cookies: StorageState, trader: Trader, paper_key: dict[str, Any]
) -> None:
    made = trader.bot(paper_key, name="Two tabs")
    context = browser.new_context(storage_state=cookies)
    context.set_default_timeout(TIMEOUT_MS)
    first, second = (WatchedPage.open(context, platform_url) for _ in range(2))
    for each in (first, second):
        each.go_to(f"/app/bots/{made['id']}/edit")
    first.page.get_by_label("Name").fill("From the first tab")
    first.page.get_by_role("button", name="Save").click()
    expect(first.page.get_by_role("heading", name="From the first tab")).to_be_visible()

    second.page.get_by_label("Name").fill("From the second tab")
    second.page.get_by_role("button", name="Save").click()

    expect(second.page.get_by_text("The bot was changed in between")).to_be_visible()
    expect(second.page.get_by_label("Name")).to_have_value("From the second tab")
    assert trader.client.get(f"/api/v1/bot/{made['id']}")["name"] == "From the first tab"
    context.close()


def test_the_back_button_shows_the_page_before(mine: WatchedPage, bot: dict[str, Any]) -> None:
    mine.go_to("/app/bots")
    mine.page.get_by_role("link", name="Watched bot").first.click()
    expect(mine.page.get_by_role("heading", name="Watched bot")).to_be_visible()

    mine.page.go_back()

    expect(mine.page.get_by_role("heading", name="Bots", exact=True, level=1)).to_be_visible()


def test_a_panel_that_cannot_be_had_leaves_the_rest(mine: WatchedPage, bot: dict[str, Any]) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=204)

    mine.go_to("/app/")
    mine.page.route("**/app/panels/bots*", refuse)
    expect(mine.page.locator("#panel-bots.stale")).to_be_visible(timeout=60_000)

    expect(mine.page.locator("#panel-bots")).to_contain_text("Watched bot")
    expect(mine.page.locator("#panel-alerts.stale")).to_have_count(0)


def test_a_page_says_that_a_service_is_away(mine: WatchedPage, bot: dict[str, Any]) -> None:
    mine.go_to("/app/")
    with frozen(running("kraken")):
        response = mine.page.goto(f"{mine.base_url}/app/trades", timeout=60_000)
        assert response is not None
        assert response.status in (200, 503)
        expect(mine.page.locator("body")).to_contain_text("does not answer")

    mine.go_to("/app/trades")
    expect(mine.page.locator("main")).to_contain_text("Watched bot")
    mine.forgive("503")


def test_reading_and_stop_all_work_without_javascript(browser: Browser, platform_url: str) -> None:
    trader = Trader.registered(platform_url)
    made = trader.bot(trader.paper_key("Account"), name="Stopped bot")
    trader.client.post(f"/api/v1/bot/{made['id']}/start")
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.goto(f"{platform_url}/app/log-in")
    page.get_by_label("E-mail").fill(trader.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.locator("main")).to_contain_text("Stopped bot")

    page.get_by_role("button", name="Stop all bots").click()

    expect(page.get_by_role("heading", name="Stop of all bots")).to_be_visible()
    for _ in range(30):
        if page.locator("[data-progress=over]").count():
            break
        page.wait_for_timeout(500)
        page.reload()
    expect(page.locator("[data-progress=over]")).to_be_visible()
    assert trader.client.get(f"/api/v1/bot/{made['id']}/status")["state"] == "stopped"
    context.close()
