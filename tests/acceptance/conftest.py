"""Clients of the whole platform."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from apps.ops.smoke_test.client import PlatformClient
from tests.support import open_gateway as opening
from tests.support.gateway import Gateway
from tests.support.platform import registered_trader


# Ends with this folder's tests: its processes hold connections to PostgreSQL, which others count.
@pytest.fixture(scope="package")
def open_gateway(platform_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with opening.open_gateway(tmp_path_factory.mktemp("open")) as gateway:
        yield gateway


@pytest.fixture
def log_in(platform_url: str) -> Callable[[], PlatformClient]:
    """Registers a trader of his own and logs him in."""
    return partial(registered_trader, platform_url)
