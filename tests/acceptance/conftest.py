"""Clients of the whole platform."""

from collections.abc import Callable
from functools import partial

import pytest

from apps.ops.smoke_test.client import PlatformClient
from tests.support.platform import registered_trader


@pytest.fixture
def log_in(platform_url: str) -> Callable[[], PlatformClient]:
    """Registers a trader of his own and logs him in."""
    return partial(registered_trader, platform_url)
