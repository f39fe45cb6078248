from typing import Any

import pytest

from service_common.settings.factory import MIDDLEWARE
from tests.factories.accounts import FAST_HASHERS, UserServiceClient, sign_tokens


@pytest.fixture(autouse=True)
def _user_service(settings: Any) -> None:
    settings.ROOT_URLCONF = "user_service.urls"
    settings.MIDDLEWARE = MIDDLEWARE
    settings.PASSWORD_HASHERS = FAST_HASHERS
    sign_tokens(settings)


@pytest.fixture
def api() -> UserServiceClient:
    """A client that is not logged in."""
    return UserServiceClient()
