"""A trader who is logged in, and a device that makes passkeys for the platform's address."""

from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import User
from tests.factories.accounts import UserServiceClient, make_user
from tests.integration.accounts.passkeys.ceremonies import ORIGIN
from tests.support.authenticator import SoftwareAuthenticator


@pytest.fixture(autouse=True)
def _public_address(settings: Any) -> None:
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"public_url": ORIGIN})


@pytest.fixture
def user() -> User:
    return make_user(email_verified_at=timezone.now())


@pytest.fixture
def mine(user: User) -> UserServiceClient:
    return UserServiceClient(user)


@pytest.fixture
def device() -> SoftwareAuthenticator:
    return SoftwareAuthenticator(origin=ORIGIN)
