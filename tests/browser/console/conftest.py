"""A trader of the console whose paper bot trades while the pages are looked at."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, StorageState

from tests.browser.conftest import TIMEOUT_MS
from tests.browser.traders import Trader, log_in
from tests.browser.watch import DESKTOP, WatchedPage
from tests.support.waiting import eventually


@pytest.fixture(scope="package")
def trader(platform_url: str) -> Trader:
    return Trader.registered(platform_url)


@pytest.fixture(scope="package")
def paper_key(trader: Trader) -> dict[str, Any]:
    return trader.paper_key("Watched account")


@pytest.fixture(scope="package")
def bot(trader: Trader, paper_key: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A bot that runs and has traded."""
    made = trader.bot(paper_key)
    trader.client.post(f"/api/v1/bot/{made['id']}/start")
    trades = f"/api/v1/bot/{made['id']}/trades"
    eventually(lambda: trader.client.get(trades)["results"], seconds=60, what="the bot's first trade")
    yield made
    trader.client.post(f"/api/v1/bot/{made['id']}/stop")


@pytest.fixture(scope="package")
def cookies(browser: Browser, platform_url: str, trader: Trader) -> StorageState:
    """Of the trader's log-in to the console."""
    context = browser.new_context()
    log_in(WatchedPage.open(context, platform_url), trader.email)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def mine(browser: Browser, platform_url: str, cookies: StorageState) -> Iterator[WatchedPage]:
    """As `watched`, of the trader who is logged in."""
    context = browser.new_context(storage_state=cookies, viewport=DESKTOP)
    context.set_default_timeout(TIMEOUT_MS)
    page = WatchedPage.open(context, platform_url)
    yield page
    page.assert_clean()
    context.close()
