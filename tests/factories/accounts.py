"""Accounts for tests, and a client that speaks to the user service as one network address."""

import itertools
import random
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.utils import timezone
from factory.declarations import LazyFunction, Sequence
from factory.django import DjangoModelFactory
from rest_framework.test import APIClient

from apps.accounts.hashers import Argon2idHasher
from apps.accounts.models import User, UserSession
from apps.accounts.services.sessions import session_start
from apps.accounts.tokens import TokenPair
from apps.core.identity.client_info import ClientInfo
from service_common.environment import environment

PASSWORD = "correct horse battery staple"


class QuickArgon2idHasher(Argon2idHasher):
    """The platform's hasher at a hundredth of its work."""

    time_cost = 1
    memory_cost = 512


# Cheaper still, for tests that are not about hashing.
FAST_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

_numbers = itertools.count(random.randrange(1 << 20))


@cache
def _hashed(password: str, _hashers: tuple[str, ...]) -> str:
    """The hash for the hashers that are set. Made once: a safe one takes a tenth of a second."""
    return make_password(password)


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User

    email = Sequence(lambda number: f"trader{number}@example.com")  # type: ignore[no-untyped-call]
    password = LazyFunction(lambda: _hashed(PASSWORD, tuple(settings.PASSWORD_HASHERS)))  # type: ignore[no-untyped-call]
    email_verified_at = LazyFunction(timezone.now)  # type: ignore[no-untyped-call]
    roles = ["trader"]
    created_at = LazyFunction(timezone.now)  # type: ignore[no-untyped-call]


def make_user(**fields: Any) -> User:
    """An active trader with a verified address whose password is PASSWORD, unless told otherwise."""
    user: User = UserFactory.create(**fields)
    return user


def sign_tokens(settings: Any) -> None:
    """Gives the process under test the user service's signing key of the test profile."""
    env = environment("user")
    settings.SIMPLE_JWT = {
        **settings.SIMPLE_JWT,
        "SIGNING_KEY": env.secret("jwt_private_key", needed_for="tests"),
    }


class UserServiceClient(APIClient):
    """Sends JSON from a network address of its own, so that no other test's requests count against it."""

    def __init__(self, user: User | None = None) -> None:
        number = next(_numbers)
        self.address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        super().__init__(REMOTE_ADDR=self.address)
        self.default_format = "json"
        self.tokens: TokenPair | None = None
        if user is not None:
            self.log_in(user)

    def log_in(self, user: User) -> TokenPair:
        """Opens a session for a user without asking for a password."""
        self.tokens = session_start(
            user=user,
            method=UserSession.Method.PASSWORD,
            client=ClientInfo(address=self.address, user_agent="tests"),
            now=timezone.now(),
        )
        self.bear(self.tokens.access)
        return self.tokens

    def bear(self, access: str) -> None:
        self.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")

    @property
    def session_id(self) -> UUID:
        assert self.tokens is not None
        return self.tokens.session_id
