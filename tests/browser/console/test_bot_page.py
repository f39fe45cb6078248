"""The bot's page while it trades: chart with fills and lines, live updates, commands with their receipts."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from dev.base.profile import ROOT
from tests.browser.traders import Trader
from tests.browser.watch import WatchedPage

pytestmark = pytest.mark.timeout(300)

PICTURE = ROOT / "docs" / "images" / "bot.png"


def open_chart(mine: WatchedPage, bot: dict[str, Any]) -> None:
    mine.go_to(f"/app/bots/{bot['id']}")
    expect(mine.page.locator("[data-price-chart]")).to_have_attribute("data-ready", "true")


def test_the_chart_has_candles_fills_and_the_average_price(mine: WatchedPage, bot: dict[str, Any]) -> None:
    open_chart(mine, bot)

    chart = mine.page.locator("[data-price-chart]")
    expect(chart).to_have_attribute("data-markers", re.compile("[1-9]"))
    assert int(chart.get_attribute("data-candles") or 0) > 10
    pixels = chart.locator("canvas").first.evaluate(
        "canvas => new Set(new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)"
        ".data.buffer)).size"
    )
    assert pixels > 3, "nothing is drawn"


def test_the_keyboard_scrolls_the_chart_back_through_history(mine: WatchedPage, bot: dict[str, Any]) -> None:
    open_chart(mine, bot)
    chart = mine.page.locator("[data-price-chart]")
    before = int(chart.get_attribute("data-candles") or 0)

    chart.focus()
    for _ in range(60):
        chart.press("ArrowLeft")

    mine.page.wait_for_function(
        "before => Number(document.querySelector('[data-price-chart]').dataset.candles) > before", arg=before
    )


def test_a_trade_appears_while_one_watches(mine: WatchedPage, bot: dict[str, Any]) -> None:
    open_chart(mine, bot)
    first = mine.page.locator("#panel-trades tbody tr").first
    shown = first.inner_text()

    # Nothing reloads the page: the stream tells it.
    expect(first).not_to_have_text(shown, timeout=60_000)
    expect(mine.page.locator("html")).to_have_attribute("data-connection", "live")


def test_start_and_stop_show_their_receipts_as_they_go(
    mine: WatchedPage, trader: Trader, paper_key: dict[str, Any]
) -> None:
    made = trader.bot(paper_key, name="Commanded bot")
    mine.go_to(f"/app/bots/{made['id']}")
    page = mine.page

    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#panel-state")).to_contain_text("Running")

    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#panel-state")).to_contain_text("Stopped")
    expect(page.locator("#receipts")).to_contain_text(re.compile("done", re.IGNORECASE))


def test_a_bot_is_edited_cloned_and_deleted(mine: WatchedPage, trader: Trader, paper_key: dict[str, Any]) -> None:
    made = trader.bot(paper_key, name="Edited bot")
    page = mine.page

    mine.go_to(f"/app/bots/{made['id']}/edit")
    page.get_by_label("Name").fill("Renamed bot")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Renamed bot")).to_be_visible()

    page.get_by_role("link", name="Clone").click()
    page.get_by_label("Name").fill("Second bot")
    page.get_by_role("button", name="Make the bot").click()
    expect(page.get_by_role("heading", name="Second bot", exact=True)).to_be_visible()

    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("main")).not_to_contain_text("Second bot")
    names = {each["name"] for each in trader.client.get("/api/v1/bot")["results"]}
    assert "Renamed bot" in names
    assert "Second bot" not in names


def test_the_picture_of_the_readme_is_of_this_page(
    mine: WatchedPage, bot: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    """`pytest --write-pictures` writes it anew."""
    open_chart(mine, bot)
    expect(mine.page.locator("[data-price-chart]")).to_have_attribute("data-markers", re.compile("[1-9]"))
    mine.page.wait_for_load_state()

    taken = mine.page.screenshot()

    assert len(taken) < 200_000
    if request.config.getoption("--write-pictures"):
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_bytes(taken)
