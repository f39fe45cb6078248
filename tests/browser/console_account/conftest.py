import pytest

from tests.browser.traders import Trader, log_in
from tests.browser.watch import WatchedPage


@pytest.fixture
def trader(platform_url: str) -> Trader:
    """With a confirmed address and without a second factor."""
    return Trader.opened(platform_url)


@pytest.fixture
def logged_in(watched: WatchedPage, trader: Trader) -> WatchedPage:
    log_in(watched, trader.email)
    return watched
