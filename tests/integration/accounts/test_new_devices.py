"""The owner is told of a log-in from a device and network that the account did not know, by password and by passkey."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import KnownDevice, OutgoingMail, User
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user
from tests.integration.accounts.passkeys.ceremonies import BASE, ORIGIN, options, registered
from tests.support.authenticator import SoftwareAuthenticator

pytestmark = pytest.mark.django_db

LogIn = Callable[[UserServiceClient, str], dict[str, Any]]


@pytest.fixture
def user(settings: Any) -> User:
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"public_url": ORIGIN})
    return make_user()


@pytest.fixture(params=["password", "passkey"])
def log_in(request: pytest.FixtureRequest, user: User) -> LogIn:
    """Logs in from a client, with a device token or ""; the answer's body."""
    device = SoftwareAuthenticator(origin=ORIGIN)
    if request.param == "passkey":
        mine = UserServiceClient(user)

        registered(mine, device)

    def by_password(client: UserServiceClient, token: str) -> Any:
        body = {"email": user.email, "password": PASSWORD, "device_token": token}
        return client.post("/api/v1/auth/login", body)

    def by_passkey(client: UserServiceClient, token: str) -> Any:
        body = {"credential": device.get(options(client, "login")), "device_token": token}
        return client.post(f"{BASE}/login", body)

    def once(client: UserServiceClient, token: str) -> dict[str, Any]:
        answer = (by_password if request.param == "password" else by_passkey)(client, token)
        assert answer.status_code == 200
        body: dict[str, Any] = answer.json()
        return body

    return once


def _told() -> int:
    return OutgoingMail.objects.filter(kind="new_device").count()


def test_a_log_in_answers_a_device_token_that_the_next_one_is_known_by(log_in: LogIn, user: User) -> None:
    token = log_in(UserServiceClient(), "")["device_token"]
    elsewhere = log_in(UserServiceClient(), token)

    assert elsewhere["device_token"] == token
    assert KnownDevice.objects.filter(user=user, kind="token").count() == 1
    assert KnownDevice.objects.filter(user=user, kind="network").count() == 2
    assert _told() == 0


def test_the_owner_is_told_of_a_new_device_on_a_new_network_alone(log_in: LogIn, user: User) -> None:
    home = UserServiceClient()
    log_in(home, "")
    log_in(home, "")
    assert _told() == 0  # the first log-in, and a known network

    log_in(UserServiceClient(), "of another account")

    assert OutgoingMail.objects.get(kind="new_device").email == user.email
