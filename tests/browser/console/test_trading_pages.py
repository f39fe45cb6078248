"""The trading pages, at both widths: clean, accessible, and with what they are for."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.traders import Trader
from tests.browser.watch import WIDTHS, WatchedPage

pytestmark = pytest.mark.timeout(300)

# Path, and a text that stands on the page only where it has its data.
PAGES = {
    "overview": ("/app/", "Watched bot"),
    "bots": ("/app/bots", "Watched bot"),
    "bot": ("/app/bots/{bot}", "Commands"),
    "timeline": ("/app/bots/{bot}/timeline", "Watched bot"),
    "edit": ("/app/bots/{bot}/edit", "Limits of its orders"),
    "clone": ("/app/bots/{bot}/clone", "Make the bot"),
    "delete": ("/app/bots/{bot}/delete", "Watched bot"),
    "strategies": ("/app/bots/new", "loses when"),
    "new bot": ("/app/bots/new/sma_cross", "Make the bot"),
    "orders": ("/app/orders", "Watched bot"),
    "trades": ("/app/trades", "Watched bot"),
    "portfolio": ("/app/portfolio", "Watched account"),
    "keys": ("/app/keys", "Watched account"),
    "key": ("/app/keys/{key}", "Watched account"),
    "paper key": ("/app/keys/paper", "paper"),
    "live key": ("/app/keys/live", "key"),
    "alerts": ("/app/alerts", "Alerts"),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_clean_accessible_and_as_wide_as_its_window(
    mine: WatchedPage, bot: dict[str, Any], paper_key: dict[str, Any], name: str, width: str
) -> None:
    path, text = PAGES[name]
    mine.page.set_viewport_size(WIDTHS[width])

    mine.go_to(path.format(bot=bot["id"], key=paper_key["id"]))

    expect(mine.page.locator("main")).to_contain_text(text)
    mine.assert_fits()
    mine.assert_accessible()


@pytest.mark.parametrize("path", ["/app/", "/app/bots/{bot}"])
def test_a_page_is_accessible_in_the_dark(mine: WatchedPage, bot: dict[str, Any], path: str) -> None:
    mine.page.emulate_media(color_scheme="dark")

    mine.go_to(path.format(bot=bot["id"]))

    ground = "getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).slice(0, 3).map(Number)"
    assert max(mine.page.evaluate(ground)) < 64
    mine.assert_accessible()


def test_an_order_is_shown_with_its_evidence(mine: WatchedPage, bot: dict[str, Any]) -> None:
    mine.go_to(f"/app/orders?bot={bot['id']}")

    mine.page.locator("main tbody a[href*='/app/orders/']").first.click()

    main = mine.page.locator("main")
    expect(main).to_contain_text("what was observed")
    expect(main).to_contain_text("Paper")
    mine.assert_accessible()
    mine.assert_fits()


def test_trades_are_filtered_by_side(mine: WatchedPage, bot: dict[str, Any]) -> None:
    mine.go_to("/app/trades")
    mine.page.get_by_label("Side").select_option("buy")
    mine.page.get_by_role("button", name="Filter").click()

    sides = mine.page.locator("main tbody tr td:nth-child(3)")
    expect(sides.first).to_be_visible()
    assert {side.lower() for side in sides.all_inner_texts()} == {"buy"}


def test_a_trader_sees_nothing_of_another(mine: WatchedPage, platform_url: str) -> None:
    other = Trader.registered(platform_url)
    foreign = other.bot(other.paper_key("Other account"), name="Foreign bot")

    response = mine.page.goto(f"{platform_url}/app/bots/{foreign['id']}")

    assert response is not None
    assert response.status == 404
    expect(mine.page.locator("body")).not_to_contain_text("Foreign bot")
    mine.forgive("404")


def test_the_bot_form_shows_what_the_api_refuses_at_its_field(
    mine: WatchedPage, trader: Trader, paper_key: dict[str, Any]
) -> None:
    before = len(trader.client.get("/api/v1/bot")["results"])
    mine.go_to("/app/bots/new/sma_cross")
    page = mine.page
    page.get_by_label("Name").fill("Too fast")
    for field, value in (("fast", "9"), ("slow", "3"), ("quote_budget", "100")):
        page.locator(f"[name$={field}]").fill(value)
    page.get_by_role("button", name="Make the bot").click()

    expect(page.locator(".wrong, .errors").first).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("Too fast")
    mine.assert_accessible()
    assert len(trader.client.get("/api/v1/bot")["results"]) == before
    mine.forgive("422")
