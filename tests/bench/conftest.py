"""A client of the whole platform."""

import pytest

from apps.ops.smoke_test.client import PlatformClient
from tests.support.platform import registered_trader


@pytest.fixture(scope="module")
def trader(platform_url: str) -> PlatformClient:
    return registered_trader(platform_url)
