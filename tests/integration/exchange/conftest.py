"""The real paper exchange, served over HTTP on loopback with a synthetic market."""

import pytest
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer


@pytest.fixture
def paper_exchange(settings: Settings, live_server: LiveServer) -> str:
    """Its address. A candle lasts a minute, so that prices stand still for long enough to compare them."""
    settings.ROOT_URLCONF = "paper_exchange.urls"
    settings.MARKET_DATA = None
    settings.MARKET_CANDLE_SECONDS = 60.0
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"paper_exchange_url": live_server.url})
    return str(live_server.url)
