"""Lockout: nobody guesses much, and nobody locks anybody else out."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from apps.accounts.errors import InvalidCredentials, TooManyAttempts
from apps.accounts.models import KnownDevice, LockoutCounter, User
from apps.accounts.services.housekeeping import accounts_purge
from apps.accounts.services.known_devices import MOST_REMEMBERED, REMEMBERED
from apps.accounts.services.lockout import LIMITS
from apps.accounts.services.login import LogIn, user_log_in
from apps.core.identity.client_info import ClientInfo
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

Kind = LockoutCounter.Kind
LOGIN = "/api/v1/auth/login"
RIGHT_AND_NEW = {"current_password": PASSWORD, "new_password": "a wholly different sentence"}


def _log_in(email: str, password: str = PASSWORD, *, address: str | None, token: str = "", now: Any = None) -> LogIn:
    return user_log_in(
        email=email,
        password=password,
        otp="",
        client=ClientInfo(address, ""),
        device_token=token,
        now=now or timezone.now(),
    )


def _attack(user: User, guesses: int, *, now: Any = None) -> int:
    """Guesses from a new address each time; returns how many were compared with the password."""
    compared = 0
    for number in range(guesses):
        try:
            _log_in(user.email, "wrong", address=f"203.0.{number >> 8}.{number & 255}", now=now)
        except InvalidCredentials:
            compared += 1
        except TooManyAttempts:
            pass
    return compared


@pytest.mark.parametrize("guesses", [5, 50, 99])
def test_the_right_password_from_elsewhere_gets_in_during_an_attack(guesses: int) -> None:
    user = make_user()

    assert _attack(user, guesses) == guesses

    assert UserServiceClient().post(LOGIN, {"email": user.email, "password": PASSWORD}).status_code == 200


def test_five_failures_from_one_address_do_not_lock_another() -> None:
    user = make_user()
    attacker = UserServiceClient()
    statuses = [attacker.post(LOGIN, {"email": user.email, "password": "x"}).status_code for _ in range(7)]

    assert statuses == [401] * 5 + [429] * 2
    assert UserServiceClient().post(LOGIN, {"email": user.email, "password": PASSWORD}).status_code == 200


def test_an_account_is_guessed_at_a_hundred_times_an_hour_at_most() -> None:
    user = make_user()
    began = timezone.now()

    assert _attack(user, 120, now=began) == LIMITS[Kind.ACCOUNT].attempts == 100
    with pytest.raises(TooManyAttempts):
        _log_in(user.email, address="198.51.100.1", now=began + timedelta(minutes=59))
    _log_in(user.email, address="198.51.100.1", now=began + timedelta(hours=1))


def test_no_hour_holds_more_than_the_cap_wherever_it_begins() -> None:
    user = make_user()
    began = timezone.now()
    _attack(user, 1, now=began)

    assert _attack(user, 98, now=began + timedelta(minutes=59)) == 98
    assert _attack(user, 100, now=began + timedelta(minutes=61)) == 1


def test_a_log_in_of_the_owner_gives_the_attacker_no_further_guesses() -> None:
    user = make_user()
    _attack(user, 99)
    _log_in(user.email, address="198.51.100.1")

    assert _attack(user, 10) == 1


def test_a_known_network_and_a_known_device_pass_beyond_the_cap() -> None:
    user = make_user()
    token = _log_in(user.email, address="198.51.100.1").device_token
    _attack(user, 110)

    with pytest.raises(TooManyAttempts):
        _log_in(user.email, address="198.51.100.2")
    _log_in(user.email, address="198.51.100.1")
    assert _log_in(user.email, address="198.51.100.2", token=token).device_token == token


def test_a_known_device_passes_although_its_own_network_is_locked(api: UserServiceClient) -> None:
    user = make_user()
    token = api.post(LOGIN, {"email": user.email, "password": PASSWORD}).json()["device_token"]
    for _ in range(6):
        last = api.post(LOGIN, {"email": user.email, "password": "wrong"})
    assert last.status_code == 429

    body = {"email": user.email, "password": PASSWORD, "device_token": token}
    assert api.post(LOGIN, body).status_code == 200


def test_a_known_device_guesses_no_more_than_a_stranger(api: UserServiceClient) -> None:
    user = make_user()
    token = _log_in(user.email, address=api.address).device_token
    body = {"email": user.email, "password": "wrong", "device_token": token}

    assert [api.post(LOGIN, body).status_code for _ in range(6)] == [401] * 5 + [429]
    assert LockoutCounter.objects.filter(kind=Kind.ACCOUNT, attempts__gt=0).count() == 0


def test_a_device_of_another_account_is_unknown(api: UserServiceClient) -> None:
    victim = make_user()
    token = _log_in(make_user().email, address=api.address).device_token
    body = {"email": victim.email, "password": "wrong", "device_token": token}

    assert [api.post(LOGIN, body).status_code for _ in range(6)] == [401] * 5 + [429]
    assert LockoutCounter.objects.filter(kind=Kind.ACCOUNT, attempts=5).exists()


def test_a_device_token_replaces_no_password(api: UserServiceClient) -> None:
    user = make_user()
    token = _log_in(user.email, address=api.address).device_token

    answer = api.post(LOGIN, {"email": user.email, "password": "wrong", "device_token": token})

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_credentials")
    assert token not in str(list(KnownDevice.objects.values()))


def test_known_sessions_work_while_strangers_fail_at_the_log_in(api: UserServiceClient) -> None:
    user = make_user(email_verified_at=timezone.now())
    mine = UserServiceClient(user)
    _attack(user, 110)

    assert mine.post("/api/v1/auth/mfa/setup", {"password": PASSWORD}).status_code == 200
    assert mine.post("/api/v1/user/me/password", RIGHT_AND_NEW).status_code == 204


def test_guesses_with_a_stolen_token_lock_neither_log_in_nor_other_sessions() -> None:
    user = make_user()
    thief, mine = UserServiceClient(user), UserServiceClient(user)
    wrong = {**RIGHT_AND_NEW, "current_password": "wrong"}

    assert [thief.post("/api/v1/user/me/password", wrong).status_code for _ in range(6)] == [422] * 5 + [429]

    assert UserServiceClient().post(LOGIN, {"email": user.email, "password": PASSWORD}).status_code == 200
    assert mine.post("/api/v1/user/me/password", RIGHT_AND_NEW).status_code == 204


def test_a_network_is_limited_by_the_number_of_accounts_it_fails_at() -> None:
    limit = LIMITS[Kind.ADDRESS].attempts
    known = make_user()
    _log_in(known.email, address="192.0.2.1")
    for number in range(limit):
        with pytest.raises(InvalidCredentials):
            _log_in(f"{number}@example.com", "wrong", address="192.0.2.1")

    unknown = make_user()
    with pytest.raises(TooManyAttempts):
        _log_in(unknown.email, address="192.0.2.1")
    _log_in(unknown.email, address="192.0.2.2")
    _log_in(known.email, address="192.0.2.1")


def test_fifty_failures_behind_one_address_lock_nobody_else_there(api: UserServiceClient) -> None:
    for number in range(50):
        api.post(LOGIN, {"email": f"{number % 10}@example.com", "password": "wrong"})
        cache.clear()

    assert LockoutCounter.objects.get(kind=Kind.ADDRESS).attempts == 10
    assert api.post(LOGIN, {"email": make_user().email, "password": PASSWORD}).status_code == 200


def test_a_subnet_of_ipv6_is_one_network() -> None:
    user = make_user()
    for number in range(5):
        with pytest.raises(InvalidCredentials):
            _log_in(user.email, "wrong", address=f"2001:db8:1:1::{number:x}")

    with pytest.raises(TooManyAttempts):
        _log_in(user.email, address="2001:db8:1:1:ffff::1")
    _log_in(user.email, address="2001:db8:1:2::1")


def test_sixty_accounts_guessed_at_from_one_subnet_count_for_that_subnet() -> None:
    for number in range(60):
        with pytest.raises(InvalidCredentials):
            _log_in(f"{number}@example.com", "wrong", address=f"2001:db8::{number:x}")

    assert LockoutCounter.objects.get(kind=Kind.ADDRESS).attempts == 60


def test_unknown_accounts_are_locked_like_known_ones() -> None:
    known, unknown = make_user(), make_user(email="nobody@example.com")
    unknown.delete()

    assert _attack(known, 105) == 100
    assert sum(1 for _ in range(105) if _attack_once("nobody@example.com")) == 100


_addresses = iter(range(1, 10_000))


def _attack_once(email: str) -> bool:
    try:
        _log_in(email, "wrong", address=f"10.9.{next(_addresses) >> 8}.{next(_addresses) & 255}")
    except InvalidCredentials:
        return True
    except TooManyAttempts:
        return False
    raise AssertionError


def test_a_reset_by_mail_is_the_way_in_during_an_attack() -> None:
    from apps.accounts.models import OneTimeToken
    from apps.accounts.services.one_time_tokens import token_issue

    user = make_user()
    old_device = _log_in(user.email, address="198.51.100.7").device_token
    _attack(user, 110)
    owner = UserServiceClient()
    token = token_issue(user=user, purpose=OneTimeToken.Purpose.RESET_PASSWORD, now=timezone.now())
    reset = owner.post("/api/v1/auth/password/reset", {"token": token, "password": RIGHT_AND_NEW["new_password"]})
    assert reset.status_code == 204
    _attack(user, 110)

    with pytest.raises(TooManyAttempts):
        _log_in(user.email, RIGHT_AND_NEW["new_password"], address="198.51.100.7", token=old_device)
    body = {"email": user.email, "password": RIGHT_AND_NEW["new_password"]}
    assert owner.post(LOGIN, body).status_code == 200


def test_devices_are_forgotten_in_time_and_their_number_is_bounded() -> None:
    user = make_user()
    now = timezone.now()
    for number in range(MOST_REMEMBERED + 3):
        token = _log_in(user.email, address=f"198.51.100.{number}", now=now + timedelta(seconds=number)).device_token

    assert KnownDevice.objects.filter(kind="token").count() == MOST_REMEMBERED
    assert KnownDevice.objects.filter(kind="network").count() == MOST_REMEMBERED
    assert _log_in(user.email, address=None, token=token, now=now + timedelta(seconds=60)).device_token == token
    later = now + max(REMEMBERED.values()) + timedelta(minutes=2)
    assert _log_in(user.email, address=None, token=token, now=later).device_token != token
    assert accounts_purge("known_device", now=later) == 2 * MOST_REMEMBERED - 1  # the new one stays


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", [Kind.PAIR, Kind.ACCOUNT])
def test_guesses_made_at_once_do_not_exceed_the_cap(kind: LockoutCounter.Kind) -> None:
    user = make_user()
    left = 4
    if kind == Kind.ACCOUNT:
        _attack(user, LIMITS[kind].attempts - left)
    else:
        with pytest.raises(InvalidCredentials):
            _log_in(user.email, "wrong", address="192.0.2.9")
    at_once = 12
    start = threading.Barrier(at_once)

    def guess(number: int) -> bool:
        start.wait()
        try:
            _log_in(user.email, "wrong", address=f"192.0.2.{number if kind == Kind.ACCOUNT else 9}")
        except InvalidCredentials:
            return True
        except TooManyAttempts:
            return False
        finally:
            connection.close()
        raise AssertionError

    with ThreadPoolExecutor(at_once) as pool:
        compared = list(pool.map(guess, range(at_once)))

    assert sum(compared) == left
