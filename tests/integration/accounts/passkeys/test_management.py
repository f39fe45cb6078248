"""Passkeys are renamed and removed by their owner, and the last second factor is not removed by the way."""

from datetime import timedelta

import pyotp
import pytest
from django.utils import timezone

from apps.accounts.models import MfaDevice, OutgoingMail, Passkey, RecoveryCode, User
from apps.accounts.services.mfa import mfa_confirm, mfa_set_up
from apps.core.ids import new_id
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user
from tests.integration.accounts.passkeys.ceremonies import (
    BASE,
    events_of,
    log_in,
    refused,
    register,
    registered,
    step_up,
    step_up_with,
)
from tests.support.authenticator import SoftwareAuthenticator

pytestmark = pytest.mark.django_db


def test_a_passkey_is_renamed_by_its_owner_only(mine: UserServiceClient, device: SoftwareAuthenticator) -> None:
    step_up(mine, password=PASSWORD)
    url = register(mine, device)["Location"]

    assert mine.patch(url, {"name": "Laptop"}).json()["name"] == "Laptop"
    assert mine.get(url).json()["name"] == "Laptop"
    stranger = UserServiceClient(make_user())
    assert stranger.get(url).status_code == 404
    assert stranger.patch(url, {"name": "Mine"}).status_code == 404
    assert stranger.delete(url).status_code == 404
    assert Passkey.objects.get().name == "Laptop"


def test_the_only_second_factor_is_not_deleted_by_the_way(
    mine: UserServiceClient, user: User, device: SoftwareAuthenticator
) -> None:
    url = f"{BASE}/{registered(mine, device)['passkey']['id']}"
    step_up_with(mine, device)

    answer = mine.delete(url)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "last_second_factor")
    disable = "/api/v1/auth/mfa/disable"
    assert mine.post(disable, {"password": "wrong"}).status_code == 422
    assert mine.post(disable, {"password": PASSWORD}).status_code == 204
    assert Passkey.objects.count() == RecoveryCode.objects.count() == 0
    assert events_of(user, "user.passkey.removed") == 1


def test_two_factor_log_in_is_not_switched_off_without_a_second_factor(
    mine: UserServiceClient, device: SoftwareAuthenticator
) -> None:
    registered(mine, device)

    answer = mine.post("/api/v1/auth/mfa/disable", {"password": PASSWORD})

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "otp_wrong")
    assert Passkey.objects.count() == 1


def test_one_of_two_factors_is_removed_with_a_step_up(
    mine: UserServiceClient, user: User, device: SoftwareAuthenticator
) -> None:
    url = f"{BASE}/{registered(mine, device)['passkey']['id']}"
    now = timezone.now()
    totp = pyotp.TOTP(mfa_set_up(user_id=user.id, password=PASSWORD, now=now).secret)
    before = now - timedelta(seconds=30)
    mfa_confirm(user_id=user.id, otp=totp.at(before), now=before)

    answer = mine.delete(url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "step_up_required")
    step_up(mine, otp=totp.now())
    assert mine.delete(url).status_code == 204

    assert refused(log_in(device))
    assert (MfaDevice.objects.count(), Passkey.objects.count()) == (1, 0)
    assert OutgoingMail.objects.filter(kind="passkey_removed").count() == 1


def test_a_session_of_a_stranger_sees_no_passkeys_of_others(
    mine: UserServiceClient, device: SoftwareAuthenticator
) -> None:
    registered(mine, device)

    assert UserServiceClient(make_user()).get(BASE).json()["results"] == []


def test_an_account_has_twenty_passkeys_at_most(mine: UserServiceClient, device: SoftwareAuthenticator) -> None:
    registered(mine, device)
    step_up_with(mine, device)
    first = Passkey.objects.get()
    for number in range(19):
        first.id, first.credential_id = new_id(), bytes([number])
        first.save(force_insert=True)

    answer = mine.post(f"{BASE}/register/options")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "too_many_passkeys")
