"""Step-up: the second factor again, as a token that the other services read by its signature alone."""

from datetime import datetime, timedelta
from typing import Any

import jwt
import pyotp
import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from apps.accounts.models import LockoutCounter, User
from apps.accounts.services.lockout import LIMITS
from apps.accounts.services.mfa import STEP_SECONDS, mfa_confirm, mfa_set_up
from apps.accounts.services.sessions import session_refresh
from apps.core.identity.assurance import STEP_UP_LASTS
from apps.core.identity.client_info import ClientInfo
from apps.events.models import StoredEvent
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

STEP_UP = "/api/v1/auth/step-up"


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def mine(user: User) -> UserServiceClient:
    return UserServiceClient(user)


def switch_on(user: User) -> tuple[pyotp.TOTP, list[str]]:
    """Confirmed with the previous step's code, so that the current one is still good."""
    now = timezone.now()
    totp = pyotp.TOTP(mfa_set_up(user_id=user.id, password=PASSWORD, now=now).secret)
    before = now - timedelta(seconds=STEP_SECONDS)
    return totp, mfa_confirm(user_id=user.id, otp=totp.at(before), now=before)


def claims_of(token: str) -> dict[str, Any]:
    options = django_settings.SIMPLE_JWT
    claims: dict[str, Any] = jwt.decode(
        token, options["VERIFYING_KEY"], algorithms=["ES256"], audience="muckard-api", issuer="muckard"
    )
    return claims


def wrong(totp: pyotp.TOTP) -> str:
    good = {totp.at(timezone.now() + timedelta(seconds=STEP_SECONDS * step)) for step in range(-2, 3)}
    return next(code for code in (f"{number:06}" for number in range(10)) if code not in good)


def test_the_answer_is_a_token_of_the_same_session_that_carries_the_time_of_the_proof(
    mine: UserServiceClient, user: User
) -> None:
    totp, _ = switch_on(user)
    before = timezone.now()

    answer = mine.post(STEP_UP, {"otp": totp.now()})

    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    body = answer.json()
    claims = claims_of(body["access"])
    assert (claims["user_id"], claims["sid"], claims["token_type"]) == (str(user.id), str(mine.session_id), "access")
    proved_at = datetime.fromtimestamp(claims["stepped_up_at"], tz=before.tzinfo)
    assert timedelta(0) <= proved_at - before.replace(microsecond=0) < timedelta(seconds=10)
    assert datetime.fromisoformat(body["expires_at"]).timestamp() == claims["exp"]
    assert abs(datetime.fromisoformat(body["step_up_expires_at"]) - proved_at - STEP_UP_LASTS) < timedelta(seconds=1)
    assert StoredEvent.objects.filter(event_type="user.stepped_up", aggregate_id=user.id).count() == 1
    mine.bear(body["access"])
    assert mine.get("/api/v1/user/me").status_code == 200


def test_tokens_say_whether_the_address_is_verified_and_a_second_factor_is_set_up() -> None:
    user = make_user(email_verified_at=None)
    mine = UserServiceClient(user)
    assert mine.tokens is not None
    first = claims_of(mine.tokens.access)
    assert (first["email_verified"], first["mfa"], "stepped_up_at" in first) == (False, False, False)
    User.objects.filter(pk=user.pk).update(email_verified_at=timezone.now())
    totp, _ = switch_on(user)

    pair = session_refresh(token=mine.tokens.refresh, client=ClientInfo(None, ""), now=timezone.now()).pair

    later = claims_of(pair.access)
    assert (later["email_verified"], later["mfa"], "stepped_up_at" in later) == (True, True, False)
    stepped_up = claims_of(mine.post(STEP_UP, {"otp": totp.now()}).json()["access"])
    assert (stepped_up["email_verified"], stepped_up["mfa"]) == (True, True)


def test_a_refreshed_token_has_no_step_up(mine: UserServiceClient, user: User) -> None:
    totp, _ = switch_on(user)
    assert mine.post(STEP_UP, {"otp": totp.now()}).status_code == 200
    assert mine.tokens is not None

    pair = session_refresh(token=mine.tokens.refresh, client=ClientInfo(None, ""), now=timezone.now()).pair

    assert "stepped_up_at" not in claims_of(pair.access)


def test_without_a_second_factor_it_is_refused_with_what_to_do(mine: UserServiceClient) -> None:
    answer = mine.post(STEP_UP, {"otp": "123456"})

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (403, "mfa_required")
    assert "/auth/mfa/setup" in error["message"]


def test_a_wrong_code_gives_no_token_and_a_code_is_good_once(mine: UserServiceClient, user: User) -> None:
    totp, _ = switch_on(user)
    refused = mine.post(STEP_UP, {"otp": wrong(totp)})
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "otp_invalid")
    code = totp.now()
    assert mine.post(STEP_UP, {"otp": code}).status_code == 200

    again = mine.post(STEP_UP, {"otp": code})

    assert (again.status_code, again.json()["error"]["code"]) == (401, "otp_invalid")
    assert StoredEvent.objects.filter(event_type="user.stepped_up").count() == 1


def test_a_recovery_code_is_no_step_up_and_stays_good(mine: UserServiceClient, user: User) -> None:
    _, codes = switch_on(user)

    answer = mine.post(STEP_UP, {"otp": codes[0]})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed")
    login = {"email": user.email, "password": PASSWORD, "otp": codes[0]}
    assert UserServiceClient().post("/api/v1/auth/login", login).status_code == 200


def test_guessing_is_locked_by_a_counter_of_its_own(mine: UserServiceClient, user: User) -> None:
    totp, _ = switch_on(user)
    for _ in range(LIMITS[LockoutCounter.Kind.STEP_UP].attempts):
        assert mine.post(STEP_UP, {"otp": wrong(totp)}).status_code == 401

    locked = mine.post(STEP_UP, {"otp": totp.now()})

    assert (locked.status_code, locked.json()["error"]["code"]) == (429, "too_many_attempts")
    assert int(locked["Retry-After"]) > 0
    login = {"email": user.email, "password": PASSWORD, "otp": totp.now()}
    assert UserServiceClient().post("/api/v1/auth/login", login).status_code == 200


def test_a_success_resets_the_counter(mine: UserServiceClient, user: User) -> None:
    totp, _ = switch_on(user)
    for _ in range(LIMITS[LockoutCounter.Kind.STEP_UP].attempts - 1):
        mine.post(STEP_UP, {"otp": wrong(totp)})

    assert mine.post(STEP_UP, {"otp": totp.now()}).status_code == 200

    assert not LockoutCounter.objects.filter(kind=LockoutCounter.Kind.STEP_UP).exists()


def test_an_ended_session_cannot_step_up(mine: UserServiceClient, user: User) -> None:
    totp, _ = switch_on(user)
    assert mine.post("/api/v1/auth/logout").status_code == 204

    assert mine.post(STEP_UP, {"otp": totp.now()}).status_code == 401
