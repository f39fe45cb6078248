"""A trader of the console whose paper bot trades while the pages are looked at."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, StorageState, expect

from apps.ops.smoke_test.client import PlatformClient
from apps.ops.smoke_test.market import played_market
from tests.browser.conftest import PASSWORD, TIMEOUT_MS
from tests.browser.watch import WatchedPage
from tests.support.waiting import eventually

WIDTHS = {"desktop": (1280, 800), "phone": (390, 844)}
DEFINITION = {
    "name": "Watched bot",
    "strategy": "sma_cross",
    "parameters": {"fast": 1, "slow": 3},
    "quote_budget": "1000",
}


@dataclass(frozen=True)
class Trader:
    """`client` is logged in as this trader, for what a test prepares past the pages."""

    email: str
    client: PlatformClient

    def bot(self, key: dict[str, Any], **changes: Any) -> dict[str, Any]:
        market = played_market(os.environ["MUCKARD_PAPER_EXCHANGE_URL"])
        body = {"pair": market.pair, "interval_minutes": market.interval_minutes, "credential_id": key["id"]}
        return self.client.post("/api/v1/bot", DEFINITION | body | changes)

    def paper_key(self, label: str) -> dict[str, Any]:
        return self.client.post("/api/v1/kraken/connect", {"label": label, "mode": "paper"})


def new_trader(url: str) -> Trader:
    client, email = PlatformClient(url), f"{uuid4().hex}@example.com"
    client.post("/api/v1/auth/register", {"email": email, "password": PASSWORD, "name": "Ada"})
    client.token = client.post("/api/v1/auth/login", {"email": email, "password": PASSWORD})["access"]
    return Trader(email, client)


def log_in(watched: WatchedPage, trader: Trader) -> None:
    watched.go_to("/app/log-in")
    watched.page.get_by_label("E-mail").fill(trader.email)
    watched.page.get_by_label("Password").fill(PASSWORD)
    watched.page.get_by_role("button", name="Log in", exact=True).click()
    expect(watched.page.get_by_role("heading", name="Overview")).to_be_visible()


@pytest.fixture(scope="package")
def trader(platform_url: str) -> Trader:
    return new_trader(platform_url)


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
    log_in(WatchedPage.open(context, platform_url), trader)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def mine(browser: Browser, platform_url: str, cookies: StorageState) -> Iterator[WatchedPage]:
    """As `watched`, of the trader who is logged in."""
    context = browser.new_context(storage_state=cookies, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(TIMEOUT_MS)
    page = WatchedPage.open(context, platform_url)
    yield page
    page.assert_clean()
    context.close()
