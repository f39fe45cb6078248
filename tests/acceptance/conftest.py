"""Clients of the whole platform."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from apps.ops.smoke_test.client import PlatformClient

PASSWORD = "correct horse battery staple"


@pytest.fixture
def log_in(platform_url: str) -> Callable[[], PlatformClient]:
    """Registers a trader of his own and logs him in."""

    def make() -> PlatformClient:
        client = PlatformClient(platform_url)
        body = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
        client.post("/api/v1/auth/register", body)
        client.token = client.post("/api/v1/auth/login", body)["access"]
        return client

    return make
