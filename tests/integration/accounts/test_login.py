"""Log-in: one error for every refusal, lockout, and a token that every service can verify."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from unittest import mock

import jwt
import pytest
from django.conf import settings
from django.contrib.auth import hashers
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from apps.accounts.errors import InvalidCredentials, TooManyAttempts
from apps.accounts.models import LockoutCounter, User, UserSession
from apps.accounts.services.lockout import LIMITS, lockout_count_attempt
from apps.accounts.services.login import user_log_in
from apps.core.identity.client_info import ClientInfo
from apps.events.models import StoredEvent
from apps.events.store.selectors import stream_list
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

LOGIN = "/api/v1/auth/login"
PAIR_LIMIT = LIMITS[LockoutCounter.Kind.PAIR].attempts
WINDOW = LIMITS[LockoutCounter.Kind.PAIR].window


def _log_in(api: UserServiceClient, email: str, password: str = PASSWORD, **more: Any) -> Any:
    return api.post(LOGIN, {"email": email, "password": password, **more})


def _fail(user: User, times: int, *, address: str | None = None, now: Any = None) -> None:
    for _ in range(times):
        with pytest.raises(InvalidCredentials):
            user_log_in(
                email=user.email,
                password="wrong",
                otp="",
                client=ClientInfo(address=address, user_agent=""),
                now=now or timezone.now(),
            )


def test_logging_in_answers_a_pair_of_tokens_and_opens_one_session(api: UserServiceClient) -> None:
    user = make_user()

    answer = api.post(LOGIN, {"email": user.email.upper(), "password": PASSWORD}, HTTP_USER_AGENT="curl/8")

    assert answer.status_code == 200
    assert answer.json().keys() == {"access", "refresh", "device_token"}
    assert answer["Cache-Control"] == "no-store"
    session = UserSession.objects.get()
    assert (session.user, session.address, session.user_agent) == (user, api.address, "curl/8")
    assert (session.method, session.revoked_at) == ("password", None)


def test_the_access_token_verifies_with_the_published_key_alone(api: UserServiceClient) -> None:
    user = make_user(roles=["trader", "auditor"])
    access = _log_in(api, user.email).json()["access"]

    (key,) = api.get("/.well-known/jwks.json").json()["keys"]
    header = jwt.get_unverified_header(access)
    claims = jwt.decode(access, jwt.PyJWK(key).key, algorithms=["ES256"], audience="muckard-api", issuer="muckard")

    assert (header["alg"], header["kid"]) == ("ES256", key["kid"])
    assert claims["user_id"] == str(user.id)
    assert claims["sid"] == str(UserSession.objects.get().id)
    assert claims["roles"] == ["auditor", "trader"]
    assert claims["exp"] - claims["iat"] == settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"].total_seconds()
    assert user.email not in str(claims)


def test_the_published_keys_hold_no_private_part_and_may_be_cached(api: UserServiceClient) -> None:
    answer = api.get("/.well-known/jwks.json")

    (key,) = answer.json()["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert answer["Cache-Control"] == "public, max-age=300"
    again = api.get("/.well-known/jwks.json", HTTP_IF_NONE_MATCH=answer["ETag"])
    assert (again.status_code, again.content) == (304, b"")


def test_logging_in_is_announced_in_the_transaction_of_the_session(api: UserServiceClient) -> None:
    user = make_user()
    _log_in(api, user.email)

    (event,) = stream_list(aggregate_type="user", aggregate_id=user.id)
    assert event.event_type == "user.logged_in"
    assert str(UserSession.objects.get().id).encode() in event.payload

    with mock.patch("apps.accounts.services.login.publish", side_effect=RuntimeError):
        assert _log_in(api, user.email).status_code == 500
    assert UserSession.objects.count() == 1


def test_unknown_address_wrong_password_and_disabled_account_look_alike(api: UserServiceClient) -> None:
    known, disabled = make_user(), make_user(is_active=False)

    answers = [
        _log_in(api, "nobody@example.com"),
        _log_in(api, known.email, "wrong"),
        _log_in(api, disabled.email),
        _log_in(api, make_user(password="!unusable").email),
    ]

    bodies = [{**answer.json()["error"], "request_id": ""} for answer in answers]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert bodies == [bodies[0]] * 4
    assert bodies[0]["code"] == "invalid_credentials"
    assert UserSession.objects.count() == StoredEvent.objects.count() == 0


def test_an_unknown_address_costs_as_much_hashing_as_a_known_one(settings: Any, api: UserServiceClient) -> None:
    settings.PASSWORD_HASHERS = ["apps.accounts.hashers.Argon2idHasher"]
    known, disabled = make_user(), make_user(is_active=False)
    hashed: list[str] = []
    hasher = hashers.get_hasher()

    def spy(name: str) -> Any:
        real = getattr(type(hasher), name)

        def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
            hashed.append(name)
            return real(self, *args, **kwargs)

        return mock.patch.object(type(hasher), name, counting)

    costs = []
    with spy("encode"), spy("verify"):
        for email in ("nobody@example.com", known.email, disabled.email):
            hashed.clear()
            _log_in(api, email, "wrong password")
            costs.append(len(hashed))

    assert costs == [1, 1, 1]


def test_five_failures_lock_the_account_for_their_network_even_for_the_right_password(api: UserServiceClient) -> None:
    user = make_user()
    for _ in range(PAIR_LIMIT):
        assert _log_in(api, user.email, "wrong").status_code == 401

    answer = _log_in(api, user.email)

    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "too_many_attempts"
    assert 0 < int(answer["Retry-After"]) <= WINDOW.total_seconds()
    assert UserSession.objects.count() == 0


def test_an_unknown_account_is_locked_like_a_known_one(api: UserServiceClient) -> None:
    statuses = [_log_in(api, "nobody@example.com").status_code for _ in range(PAIR_LIMIT + 1)]

    assert statuses == [401] * PAIR_LIMIT + [429]


def test_while_locked_no_password_is_looked_at() -> None:
    user = make_user()
    _fail(user, PAIR_LIMIT)

    with (
        mock.patch("apps.accounts.services.login.verify_password") as looked_at,
        pytest.raises(TooManyAttempts),
    ):
        user_log_in(email=user.email, password=PASSWORD, otp="", client=ClientInfo(None, ""), now=timezone.now())
    looked_at.assert_not_called()


def test_the_lock_ends_a_quarter_of_an_hour_after_the_last_attempt_that_counted() -> None:
    user = make_user()
    began = timezone.now()
    _fail(user, PAIR_LIMIT, now=began)
    client = ClientInfo(None, "")

    with pytest.raises(TooManyAttempts) as refused:
        user_log_in(
            email=user.email, password=PASSWORD, otp="", client=client, now=began + WINDOW - timedelta(seconds=1)
        )
    assert refused.value.retry_after_seconds == 1

    user_log_in(email=user.email, password=PASSWORD, otp="", client=client, now=began + WINDOW)
    assert UserSession.objects.count() == 1


def test_attempts_made_while_locked_do_not_prolong_the_lock() -> None:
    user = make_user()
    began = timezone.now()
    _fail(user, PAIR_LIMIT, now=began)
    for minute in range(14):
        with pytest.raises(TooManyAttempts):
            lockout_count_attempt(email=user.email, client=ClientInfo(None, ""), now=began + timedelta(minutes=minute))

    user_log_in(email=user.email, password=PASSWORD, otp="", client=ClientInfo(None, ""), now=began + WINDOW)
    assert UserSession.objects.count() == 1


def test_a_good_log_in_starts_the_count_of_the_account_afresh(api: UserServiceClient) -> None:
    user = make_user()
    for _ in range(3):
        for _ in range(PAIR_LIMIT - 1):
            assert _log_in(api, user.email, "wrong").status_code == 401
        assert _log_in(api, user.email).status_code == 200


def test_one_users_failures_do_not_lock_another(api: UserServiceClient) -> None:
    _fail(make_user(), PAIR_LIMIT, address=api.address)

    assert _log_in(api, make_user().email).status_code == 200


def test_the_count_outlives_the_cache(api: UserServiceClient) -> None:
    user = make_user()
    for _ in range(PAIR_LIMIT):
        _log_in(api, user.email, "wrong")
        cache.delete_many([f"throttle:{scope}:{api.address}" for scope in ("login", "refresh")])

    assert _log_in(api, user.email).status_code == 429


def test_the_count_is_kept_under_a_digest() -> None:
    _fail(make_user(email="ada@example.com"), 1, address="10.1.2.3")

    rows = str(list(LockoutCounter.objects.values()))
    assert "ada@example.com" not in rows
    assert "10.1.2.3" not in rows


@pytest.mark.django_db(transaction=True)
def test_guesses_made_at_once_are_all_counted_before_any_password_is_looked_at() -> None:
    user = make_user()
    at_once, address = 12, UserServiceClient().address
    start = threading.Barrier(at_once)

    def guess(_: int) -> int:
        start.wait()
        try:
            client = UserServiceClient()
            client.defaults["REMOTE_ADDR"] = address
            return int(_log_in(client, user.email, "wrong").status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(at_once) as pool:
        statuses = sorted(pool.map(guess, range(at_once)))

    assert statuses == [401] * PAIR_LIMIT + [429] * (at_once - PAIR_LIMIT)


def test_a_password_changed_while_the_old_one_was_compared_opens_no_session() -> None:
    user = make_user()

    def change_meanwhile(**_: Any) -> bool:
        User.objects.filter(pk=user.pk).update(password=hashers.make_password("something else entirely"))
        return False

    with (
        mock.patch("apps.accounts.services.login.mfa_is_enabled", side_effect=change_meanwhile),
        pytest.raises(InvalidCredentials),
    ):
        user_log_in(email=user.email, password=PASSWORD, otp="", client=ClientInfo(None, ""), now=timezone.now())
    assert UserSession.objects.count() == 0


def test_a_hash_of_older_parameters_is_renewed_at_log_in(settings: Any, api: UserServiceClient) -> None:
    user = make_user()
    assert user.password.startswith("md5$")
    settings.PASSWORD_HASHERS = ["apps.accounts.hashers.Argon2idHasher", *settings.PASSWORD_HASHERS]

    assert _log_in(api, user.email).status_code == 200

    user.refresh_from_db()
    assert user.password.startswith("argon2$argon2id$")
    assert user.check_password(PASSWORD)


def test_a_stale_authorization_header_is_no_obstacle_to_logging_in(api: UserServiceClient) -> None:
    api.bear("stale")

    assert _log_in(api, make_user().email).status_code == 200


@pytest.mark.parametrize("body", [{}, {"email": "a@b.example"}, {"email": "x", "password": PASSWORD}, {"password": 1}])
def test_a_body_without_credentials_is_a_400_and_not_an_attempt(api: UserServiceClient, body: dict[str, Any]) -> None:
    assert api.post(LOGIN, body).status_code == 400
    assert LockoutCounter.objects.count() == 0
