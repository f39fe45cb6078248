"""A refresh token is exchanged once. A repeat gets the same answer for a while, and a replay ends the session."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from apps.accounts.errors import RefreshRefused
from apps.accounts.models import OutgoingMail, User, UserSession
from apps.accounts.services.sessions import LONGEST_SESSION, REUSE_WINDOW, holder_of, session_refresh
from apps.accounts.tokens import SignedAccessToken, mint, new_token_id
from apps.core.identity.client_info import ClientInfo
from apps.events.models import StoredEvent
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

REFRESH = "/api/v1/auth/refresh"
LOGOUT = "/api/v1/auth/logout"
ME = "/api/v1/user/me"


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def refresh(api: UserServiceClient, user: User) -> str:
    answer = api.post("/api/v1/auth/login", {"email": user.email, "password": PASSWORD})
    return str(answer.json()["refresh"])


def _exchange(api: UserServiceClient, token: str) -> Any:
    return api.post(REFRESH, {"refresh": token})


def _later() -> None:
    """The last exchange is longer ago than its token may come back."""
    session = UserSession.objects.get(rotated_at__isnull=False)
    assert session.rotated_at is not None
    earlier = session.rotated_at - REUSE_WINDOW - timedelta(seconds=1)
    UserSession.objects.filter(pk=session.pk).update(rotated_at=earlier)


def _jti(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["jti"])


def test_a_refresh_token_is_exchanged_for_a_new_pair(api: UserServiceClient, refresh: str) -> None:
    answer = _exchange(api, refresh)

    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert _jti(answer.json()["refresh"]) != _jti(refresh)
    api.bear(answer.json()["access"])
    assert api.get(ME).status_code == 200
    assert UserSession.objects.count() == 1


def test_a_chain_of_exchanges_stays_one_session(api: UserServiceClient, refresh: str) -> None:
    for _ in range(5):
        refresh = _exchange(api, refresh).json()["refresh"]

    assert UserSession.objects.get().revoked_at is None


def test_a_replayed_token_is_refused_and_ends_the_session(api: UserServiceClient, refresh: str) -> None:
    second = _exchange(api, refresh).json()
    _later()

    replay = _exchange(api, refresh)

    assert (replay.status_code, replay.json()["error"]["code"]) == (401, "invalid_token")
    assert _exchange(api, second["refresh"]).status_code == 401
    api.bear(second["access"])
    assert api.get(ME).status_code == 401
    session = UserSession.objects.get()
    assert session.revoked_at is not None
    assert session.revoked_reason == "token_replayed"


def test_a_token_from_further_back_ends_the_session_too(api: UserServiceClient, refresh: str) -> None:
    second = _exchange(api, refresh).json()["refresh"]
    third = _exchange(api, second).json()["refresh"]

    assert _exchange(api, refresh).status_code == 401
    assert _exchange(api, third).status_code == 401


def test_a_replay_is_announced_and_mailed_to_the_owner_once(api: UserServiceClient, user: User, refresh: str) -> None:
    _exchange(api, refresh)
    _later()
    for _ in range(3):
        _exchange(api, refresh)

    (event,) = StoredEvent.objects.filter(event_type="user.updated")
    assert (event.user_id, bytes(event.payload)) == (
        user.id,
        b'{"changed":["sessions"],"user_id":"%s"}' % str(user.id).encode(),
    )
    assert [(mail.kind, mail.email) for mail in OutgoingMail.objects.all()] == [("session_revoked", user.email)]


def test_a_replay_leaves_the_users_other_sessions_alone(api: UserServiceClient, user: User, refresh: str) -> None:
    other = UserServiceClient(user)
    _exchange(api, refresh)
    _later()
    _exchange(api, refresh)

    assert other.get(ME).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("at_once", [2, 3, 5, 15])
def test_exchanges_at_once_all_get_the_same_next_token_and_the_session_lives(at_once: int) -> None:
    token = UserServiceClient().log_in(make_user()).refresh
    arrived = threading.Barrier(at_once)

    def exchange(_: int) -> Any:
        arrived.wait()
        try:
            return _exchange(UserServiceClient(), token)
        finally:
            connection.close()

    with ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(exchange, range(at_once)))

    assert [answer.status_code for answer in answers] == [200] * at_once
    assert len({_jti(answer.json()["refresh"]) for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer for answer in answers) == 1
    assert UserSession.objects.get().revoked_at is None
    for answer in answers:
        api = UserServiceClient()
        api.bear(answer.json()["access"])
        assert api.get(ME).status_code == 200
    assert _exchange(UserServiceClient(), answers[-1].json()["refresh"]).status_code == 200


def test_a_client_whose_answer_was_lost_gets_it_again(api: UserServiceClient, refresh: str) -> None:
    lost = _exchange(api, refresh).json()

    again = _exchange(api, refresh)

    assert (again.status_code, again["Idempotency-Replayed"]) == (200, "true")
    assert _jti(again.json()["refresh"]) == _jti(lost["refresh"])
    assert _exchange(api, again.json()["refresh"]).status_code == 200
    assert not StoredEvent.objects.filter(event_type="user.session_ended").exists()


def test_the_token_before_the_last_exchange_ends_the_session_even_at_once(api: UserServiceClient, refresh: str) -> None:
    second = _exchange(api, refresh).json()["refresh"]
    third = _exchange(api, second).json()["refresh"]

    assert [_exchange(api, token).status_code for token in (refresh, second, third)] == [401] * 3
    assert UserSession.objects.get().revoked_reason == "token_replayed"


def test_with_its_idempotency_key_an_exchange_is_answered_again_however_late(
    api: UserServiceClient, refresh: str
) -> None:
    key = {"Idempotency-Key": "a-key-of-this-request"}
    first = api.post(REFRESH, {"refresh": refresh}, headers=key).json()
    _later()

    again = api.post(REFRESH, {"refresh": refresh}, headers=key)

    assert (again.status_code, _jti(again.json()["refresh"])) == (200, _jti(first["refresh"]))
    assert api.post(REFRESH, {"refresh": refresh}, headers={"Idempotency-Key": "another"}).status_code == 401


def test_an_idempotency_key_is_good_for_one_token(api: UserServiceClient, refresh: str) -> None:
    key = {"Idempotency-Key": "a-key-of-this-request"}
    second = api.post(REFRESH, {"refresh": refresh}, headers=key).json()["refresh"]

    answer = api.post(REFRESH, {"refresh": second}, headers=key)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert UserSession.objects.get().revoked_at is None


def test_after_a_change_of_the_service_s_secret_a_repeat_is_told_that_it_came_second(
    api: UserServiceClient, refresh: str, settings: Any
) -> None:
    assert _exchange(api, refresh).status_code == 200
    settings.SECRET_KEY = "another secret of the service"

    answer = _exchange(api, refresh)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "refresh_superseded")
    assert UserSession.objects.get().revoked_at is None


def test_an_end_of_a_session_is_announced_with_its_reason(api: UserServiceClient, user: User) -> None:
    pair = api.log_in(user)
    for _ in range(2):
        assert UserServiceClient().post(LOGOUT, {"refresh": pair.refresh}).status_code == 204

    (event,) = StoredEvent.objects.filter(event_type="user.session_ended")
    assert json.loads(bytes(event.payload)) == {
        "user_id": str(user.id),
        "session_id": str(pair.session_id),
        "reason": "logged_out",
    }


def test_the_roles_of_the_moment_go_into_the_new_token(api: UserServiceClient, user: User, refresh: str) -> None:
    User.objects.filter(pk=user.pk).update(roles=["trader", "support"])

    access = _exchange(api, refresh).json()["access"]

    assert jwt.decode(access, options={"verify_signature": False})["roles"] == ["support", "trader"]


def test_a_disabled_account_gets_no_tokens(api: UserServiceClient, user: User, refresh: str) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)

    assert _exchange(api, refresh).status_code == 401


def test_an_access_token_is_no_refresh_token_nor_the_other_way_round(api: UserServiceClient, user: User) -> None:
    pair = api.log_in(user)

    assert _exchange(api, pair.access).status_code == 401
    api.bear(pair.refresh)
    assert api.get(ME).status_code == 401
    assert UserSession.objects.get().revoked_at is None


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "x" * 5000, "\x00", None, 7, {}])
def test_what_is_no_token_is_refused_without_a_trace(api: UserServiceClient, token: Any) -> None:
    answer = _exchange(api, token)

    assert answer.status_code in (400, 401)


def test_a_token_signed_by_somebody_else_is_refused(api: UserServiceClient, user: User, refresh: str) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    claims = jwt.decode(refresh, options={"verify_signature": False})
    forged = jwt.encode(claims, generate_private_key(SECP256R1()), algorithm="ES256")

    assert _exchange(api, forged).status_code == 401
    assert _exchange(api, jwt.encode(claims, "", algorithm="none")).status_code == 401
    assert UserSession.objects.get().revoked_at is None


@pytest.mark.parametrize(("claim", "value"), [("iss", "somebody"), ("aud", "another-api"), ("exp", 1)])
def test_a_token_of_ours_for_another_purpose_is_refused(
    api: UserServiceClient, user: User, claim: str, value: Any
) -> None:
    pair = api.log_in(user)
    claims = {**jwt.decode(pair.access, options={"verify_signature": False}), claim: value}
    api.bear(jwt.encode(claims, settings.SIMPLE_JWT["SIGNING_KEY"], algorithm="ES256"))

    assert api.get(ME).status_code == 401


def test_a_session_ends_after_its_longest_time_however_often_it_is_refreshed(user: User) -> None:
    pair = UserServiceClient().log_in(user)
    session = UserSession.objects.get()
    UserSession.objects.update(created_at=session.created_at - LONGEST_SESSION + timedelta(hours=1))

    session_refresh(token=pair.refresh, client=ClientInfo(None, ""), now=timezone.now())

    session.refresh_from_db()
    assert session.expires_at == session.created_at + LONGEST_SESSION
    assert session.expires_at < timezone.now() + timedelta(hours=1)


def test_an_expired_session_gets_no_tokens(user: User) -> None:
    pair = UserServiceClient().log_in(user)

    with pytest.raises(RefreshRefused):
        session_refresh(
            token=pair.refresh,
            client=ClientInfo(None, ""),
            now=timezone.now() + settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"],
        )


def test_a_token_of_a_session_that_is_not_there_is_refused(user: User) -> None:
    pair = mint(
        holder=holder_of(user, session_id=user.id),
        refresh_id=new_token_id(),
        refresh_expires_at=timezone.now() + timedelta(days=1),
        now=timezone.now(),
    )
    with pytest.raises(RefreshRefused):
        session_refresh(token=pair.refresh, client=ClientInfo(None, ""), now=timezone.now())


def test_only_digests_of_tokens_are_stored(api: UserServiceClient, refresh: str) -> None:
    second = _exchange(api, refresh).json()["refresh"]

    stored = str(UserSession.objects.values().get())
    assert _jti(refresh) not in stored
    assert _jti(second) not in stored


def test_logging_out_with_the_refresh_token_ends_the_session_at_once(api: UserServiceClient, user: User) -> None:
    pair = api.log_in(user)

    assert UserServiceClient().post(LOGOUT, {"refresh": pair.refresh}).status_code == 204

    assert api.get(ME).status_code == 401
    assert _exchange(api, pair.refresh).status_code == 401
    assert UserSession.objects.get().revoked_reason == "logged_out"


def test_logging_out_without_one_ends_the_access_tokens_session(api: UserServiceClient, user: User) -> None:
    api.log_in(user)
    other = UserServiceClient(user)

    assert api.post(LOGOUT).status_code == 204

    assert api.get(ME).status_code == 401
    assert other.get(ME).status_code == 200


def test_logging_out_twice_is_harmless(api: UserServiceClient, user: User) -> None:
    pair = api.log_in(user)

    assert [api.post(LOGOUT, {"refresh": pair.refresh}).status_code for _ in range(2)] == [204, 204]


def test_logging_out_with_no_token_at_all_is_a_401(api: UserServiceClient) -> None:
    assert api.post(LOGOUT).status_code == 401
    assert api.post(LOGOUT, {"refresh": "x"}).status_code == 401


def test_a_token_without_a_session_is_not_enough_here(api: UserServiceClient, user: User) -> None:
    token = SignedAccessToken()
    token["user_id"] = str(user.id)
    token["roles"] = ["trader"]
    api.bear(str(token))

    assert api.get(ME).status_code == 401
