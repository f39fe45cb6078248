"""A cache of market data of the test's own."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from pytest_django import Settings

from apps.market.cache import forget_all


@pytest.fixture
def market_of_its_own(settings: Settings) -> Iterator[None]:
    """The test sees no market data that another one has cached, in Redis or in this process."""
    settings.CACHES = {"default": {**settings.CACHES["default"], "KEY_PREFIX": f"test-{uuid4().hex}"}}
    forget_all()
    yield
    forget_all()
