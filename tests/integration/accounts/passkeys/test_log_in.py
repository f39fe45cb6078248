"""Log-in by passkey: without a password, and each challenge is answered once."""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.errors import PasskeyRefused
from apps.accounts.models import OutgoingMail, Passkey, User, UserSession
from apps.accounts.services.housekeeping import accounts_purge
from apps.accounts.services.passkeys.proof import passkey_log_in
from apps.core.identity.client_info import ClientInfo
from apps.events.models import StoredEvent
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user
from tests.integration.accounts.passkeys.ceremonies import (
    BASE,
    ORIGIN,
    STEP_UP,
    WRONG,
    events_of,
    log_in,
    options,
    refused,
    registered,
)
from tests.integration.accounts.test_step_up import claims_of
from tests.support.authenticator import SoftwareAuthenticator

pytestmark = pytest.mark.django_db

NOBODY = ClientInfo(address=None, user_agent="")


def test_a_passkey_logs_in_without_password_and_counts_as_two_factors(
    mine: UserServiceClient, user: User, device: SoftwareAuthenticator
) -> None:
    registered(mine, device)

    answer = log_in(device)

    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    claims = claims_of(answer.json()["access"])
    assert (claims["user_id"], claims["mfa"], claims["email_verified"]) == (str(user.id), True, True)
    assert UserSession.objects.order_by("-created_at")[0].method == "passkey"
    (event,) = StoredEvent.objects.filter(event_type="user.logged_in")
    assert b'"method":"passkey"' in bytes(event.payload)
    assert Passkey.objects.get().sign_count == device.count


def test_the_password_alone_logs_in_no_more(mine: UserServiceClient, user: User, device: SoftwareAuthenticator) -> None:
    codes = registered(mine, device)["recovery_codes"]
    credentials = {"email": user.email, "password": PASSWORD}

    answer = UserServiceClient().post("/api/v1/auth/login", credentials)

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "otp_required")
    recovered = UserServiceClient().post("/api/v1/auth/login", {**credentials, "otp": codes[0]})
    assert recovered.status_code == 200


@pytest.mark.parametrize("change", WRONG)
def test_an_assertion_that_proves_something_else_is_refused(
    mine: UserServiceClient, device: SoftwareAuthenticator, change: Callable[[SoftwareAuthenticator], None]
) -> None:
    registered(mine, device)
    sessions = UserSession.objects.count()
    change(device)

    assert refused(log_in(device))
    assert UserSession.objects.count() == sessions


def test_an_assertion_signed_by_another_key_is_refused_and_reports_no_copy(
    mine: UserServiceClient, user: User, device: SoftwareAuthenticator
) -> None:
    registered(mine, device)
    forger = SoftwareAuthenticator(origin=ORIGIN)
    forger.credential_id, forger.user_handle = device.credential_id, device.user_handle

    assert refused(log_in(forger))
    assert events_of(user, "user.passkey.copied") == 0


def test_the_user_handle_must_be_the_owners(mine: UserServiceClient, device: SoftwareAuthenticator) -> None:
    registered(mine, device)
    device.user_handle = make_user().id.bytes

    assert refused(log_in(device))


def test_an_answer_is_good_once(mine: UserServiceClient, device: SoftwareAuthenticator) -> None:
    registered(mine, device)
    api = UserServiceClient()
    answer = device.get(options(api, "login"))

    assert api.post(f"{BASE}/login", {"credential": answer}).status_code == 200
    assert refused(api.post(f"{BASE}/login", {"credential": answer}))


def test_a_refused_answer_uses_its_challenge_up(mine: UserServiceClient, device: SoftwareAuthenticator) -> None:
    registered(mine, device)
    api = UserServiceClient()
    good = device.get(options(api, "login"))
    spoilt = copy.deepcopy(good)
    spoilt["response"]["signature"] = good["response"]["signature"][:-6] + "AAAAAA"

    assert refused(api.post(f"{BASE}/login", {"credential": spoilt}))
    assert refused(api.post(f"{BASE}/login", {"credential": good}))


def test_a_challenge_of_one_purpose_is_no_challenge_of_another(
    mine: UserServiceClient, device: SoftwareAuthenticator
) -> None:
    registered(mine, device)
    of_step_up = device.get(options(mine, "step-up"))
    of_log_in = device.get(options(mine, "login"))

    assert refused(mine.post(f"{BASE}/login", {"credential": of_step_up}))
    assert refused(mine.post(STEP_UP, {"passkey": of_log_in}))


def test_a_counter_that_goes_back_is_refused_with_an_event_and_a_mail(
    mine: UserServiceClient, user: User, device: SoftwareAuthenticator
) -> None:
    registered(mine, device)
    assert log_in(device).status_code == 200
    device.count -= 1  # a copy that was made before

    assert refused(log_in(device))

    (event,) = StoredEvent.objects.filter(event_type="user.passkey.copied", aggregate_id=user.id)
    assert b'"last_count":2,' in bytes(event.payload)
    assert OutgoingMail.objects.filter(kind="passkey_copied", email=user.email).count() == 1
    assert Passkey.objects.get().sign_count == 2


def test_a_passkey_without_a_counter_is_good_again_and_again(mine: UserServiceClient) -> None:
    synced = SoftwareAuthenticator(origin=ORIGIN, counts=False)
    registered(mine, synced)

    assert [log_in(synced).status_code for _ in range(2)] == [200, 200]


def test_a_disabled_account_is_refused(mine: UserServiceClient, user: User, device: SoftwareAuthenticator) -> None:
    registered(mine, device)
    User.objects.filter(pk=user.pk).update(is_active=False)

    assert refused(log_in(device))


def test_an_unknown_passkey_is_refused_alike(device: SoftwareAuthenticator) -> None:
    device.user_handle = make_user().id.bytes

    assert refused(log_in(device))


def test_a_challenge_ends_after_five_minutes(mine: UserServiceClient, device: SoftwareAuthenticator) -> None:
    registered(mine, device)
    answer = device.get(options(UserServiceClient(), "login"))
    late = timezone.now() + timedelta(minutes=5, seconds=1)

    with pytest.raises(PasskeyRefused):
        passkey_log_in(credential=answer, client=NOBODY, now=late)
    assert accounts_purge("passkey_challenge", now=late) == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_equal_answers_at_once_one_logs_in(mine: UserServiceClient, device: SoftwareAuthenticator) -> None:
    registered(mine, device)
    before = UserSession.objects.count()
    answer = device.get(options(UserServiceClient(), "login"))

    def attempt(_: int) -> bool:
        try:
            passkey_log_in(credential=answer, client=NOBODY, now=timezone.now())
        except PasskeyRefused:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
    assert UserSession.objects.count() == before + 1
