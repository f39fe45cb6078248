"""Passkeys are registered with a fresh proof, for the platform's own address, and each challenge is answered once."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from apps.accounts.models import OutgoingMail, Passkey, RecoveryCode, User
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user
from tests.integration.accounts.passkeys.ceremonies import (
    BASE,
    WRONG,
    events_of,
    options,
    refused,
    register,
    registered,
    step_up,
    step_up_with,
)
from tests.support.authenticator import SoftwareAuthenticator

pytestmark = pytest.mark.django_db


def test_a_passkey_is_registered_and_the_first_second_factor_comes_with_recovery_codes(
    mine: UserServiceClient, user: User, device: SoftwareAuthenticator
) -> None:
    body = registered(mine, device)

    assert (body["passkey"]["name"], body["passkey"]["transports"]) == ("Phone", ["hybrid", "internal"])
    assert len(set(body["recovery_codes"])) == RecoveryCode.objects.filter(user=user).count() == 10
    (passkey,) = mine.get(BASE).json()["results"]
    assert passkey == body["passkey"]
    assert (events_of(user, "user.passkey.added"), events_of(user, "user.updated")) == (1, 1)
    assert {mail.kind for mail in OutgoingMail.objects.all()} == {"passkey_added", "mfa_enabled"}


def test_the_options_ask_for_a_discoverable_passkey_that_verifies_its_user(
    mine: UserServiceClient, user: User, device: SoftwareAuthenticator
) -> None:
    registered(mine, device)
    step_up_with(mine, device)

    asked = options(mine, "register")

    assert asked["rp"]["id"] == "muckard.example"
    assert asked["authenticatorSelection"]["residentKey"] == "required"
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    assert base64url_to_bytes(asked["user"]["id"]) == user.id.bytes
    assert [known["id"] for known in asked["excludeCredentials"]] == [bytes_to_base64url(device.credential_id)]
    assert options(UserServiceClient(), "login").get("allowCredentials", []) == []


def test_it_needs_a_step_up(mine: UserServiceClient) -> None:
    answer = mine.post(f"{BASE}/register/options")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "step_up_required")


def test_it_needs_a_verified_address(device: SoftwareAuthenticator) -> None:
    client = UserServiceClient(make_user(email_verified_at=None))
    step_up(client, password=PASSWORD)

    answer = client.post(f"{BASE}/register/options")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "email_not_verified")


@pytest.mark.parametrize("change", WRONG)
def test_a_registration_that_proves_something_else_is_refused(
    mine: UserServiceClient, device: SoftwareAuthenticator, change: Callable[[SoftwareAuthenticator], None]
) -> None:
    step_up(mine, password=PASSWORD)
    change(device)

    assert refused(register(mine, device))
    assert not Passkey.objects.exists()


def test_a_challenge_of_registration_is_answered_once_and_by_its_session_only(
    mine: UserServiceClient, user: User, device: SoftwareAuthenticator
) -> None:
    step_up(mine, password=PASSWORD)
    made = device.create(options(mine, "register"))
    other_session, other_user = UserServiceClient(user), UserServiceClient(make_user(email_verified_at=timezone.now()))
    for client in (other_session, other_user):
        assert refused(client.post(f"{BASE}/register", {"credential": made}))

    assert mine.post(f"{BASE}/register", {"credential": made}).status_code == 201
    assert refused(mine.post(f"{BASE}/register", {"credential": made}))
    assert Passkey.objects.count() == 1


def test_a_passkey_of_another_account_cannot_be_registered_again(
    mine: UserServiceClient, device: SoftwareAuthenticator
) -> None:
    registered(mine, device)
    other = UserServiceClient(make_user(email_verified_at=timezone.now()))
    step_up(other, password=PASSWORD)

    answer = register(other, device)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "passkey_already_registered")


@pytest.mark.parametrize(
    ("public_url", "rp_id"),
    [
        ("http://127.0.0.1:8080", "localhost"),
        ("http://localhost:8080", "localhost"),
        ("https://trade.example:8443/x", "trade.example"),
        ("http://trade.example", None),
        ("https://10.1.2.3", None),
    ],
)
def test_the_relying_party_follows_the_public_address(settings: Any, public_url: str, rp_id: str | None) -> None:
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"public_url": public_url})

    answer = UserServiceClient().post(f"{BASE}/login/options")

    if rp_id is None:
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "passkeys_unavailable")
    else:
        assert answer.json()["public_key"]["rpId"] == rp_id
