"""Step-up by passkey, which takes the place of the password as proof."""

from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import PasskeyChallenge, User
from apps.events.models import StoredEvent
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user
from tests.integration.accounts.passkeys.ceremonies import (
    BASE,
    ORIGIN,
    STEP_UP,
    options,
    refused,
    registered,
    step_up_with,
)
from tests.integration.accounts.test_step_up import claims_of
from tests.support.authenticator import SoftwareAuthenticator

pytestmark = pytest.mark.django_db


def test_a_passkey_steps_up_and_opens_the_gates_of_live_trading(
    mine: UserServiceClient, user: User, device: SoftwareAuthenticator
) -> None:
    registered(mine, device)

    answer = mine.post(STEP_UP, {"passkey": device.get(options(mine, "step-up"))})

    assert answer.status_code == 200
    claims = claims_of(answer.json()["access"])
    assert (claims["mfa"], claims["email_verified"], claims["sid"]) == (True, True, str(mine.session_id))
    assert claims["stepped_up_at"] > 0
    kinds = [bytes(event.payload) for event in StoredEvent.objects.filter(event_type="user.stepped_up")]
    assert sum(b'"method":"passkey"' in kind for kind in kinds) == 1


def test_another_users_passkey_is_no_step_up(mine: UserServiceClient, device: SoftwareAuthenticator) -> None:
    registered(mine, device)
    stranger, own = UserServiceClient(make_user(email_verified_at=timezone.now())), SoftwareAuthenticator(origin=ORIGIN)
    registered(stranger, own)

    assert refused(stranger.post(STEP_UP, {"passkey": device.get(options(stranger, "step-up"))}))


def test_without_a_passkey_there_are_no_options(mine: UserServiceClient) -> None:
    assert refused(mine.post(f"{BASE}/step-up/options"))
    assert not PasskeyChallenge.objects.exists()


def test_an_authenticator_beside_a_passkey_needs_a_step_up(
    mine: UserServiceClient, device: SoftwareAuthenticator
) -> None:
    registered(mine, device)

    answer = mine.post("/api/v1/auth/mfa/setup", {"password": PASSWORD})

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "step_up_required")
    step_up_with(mine, device)
    assert mine.post("/api/v1/auth/mfa/setup", {"password": PASSWORD}).status_code == 200


def test_a_proof_by_password_is_void_once_there_is_a_second_factor(
    mine: UserServiceClient, device: SoftwareAuthenticator
) -> None:
    registered(mine, device)  # the token in use is still the one of the proof by password

    answer = mine.post(f"{BASE}/register/options")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "step_up_required")
    again = mine.post(STEP_UP, {"password": PASSWORD})
    assert (again.status_code, again.json()["error"]["code"]) == (403, "second_factor_required")


def test_a_wrong_password_is_no_step_up(mine: UserServiceClient) -> None:
    answer = mine.post(STEP_UP, {"password": "wrong"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "password_wrong")


@pytest.mark.parametrize("body", [{}, {"otp": "123456", "password": "x"}, {"passkey": {}, "otp": "123456"}])
def test_a_step_up_takes_exactly_one_proof(mine: UserServiceClient, body: dict[str, Any]) -> None:
    assert mine.post(STEP_UP, body).status_code == 400
