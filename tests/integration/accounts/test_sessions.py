"""Users list and end their sessions."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.models import UserSession
from apps.events.store.selectors import stream_list
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

SESSIONS = "/api/v1/auth/sessions"
ME = "/api/v1/user/me"


def test_the_list_shows_ones_own_live_sessions_newest_first_and_which_is_current() -> None:
    user = make_user()
    first, second = UserServiceClient(user), UserServiceClient(user)
    UserServiceClient(make_user())

    rows = second.get(SESSIONS).json()["results"]

    assert [(row["id"], row["is_current"], row["address"]) for row in rows] == [
        (str(second.session_id), True, second.address),
        (str(first.session_id), False, first.address),
    ]


def test_the_list_holds_no_token_and_no_digest() -> None:
    (row,) = UserServiceClient(make_user()).get(SESSIONS).json()["results"]

    assert row.keys() == {
        "id",
        "method",
        "created_at",
        "last_used_at",
        "expires_at",
        "address",
        "user_agent",
        "is_current",
    }


def test_ended_and_expired_sessions_are_not_listed() -> None:
    user = make_user()
    current, ended, expired = UserServiceClient(user), UserServiceClient(user), UserServiceClient(user)
    current.delete(f"{SESSIONS}/{ended.session_id}")
    UserSession.objects.filter(pk=expired.session_id).update(expires_at=timezone.now() - timedelta(seconds=1))

    assert [row["id"] for row in current.get(SESSIONS).json()["results"]] == [str(current.session_id)]


def test_the_list_is_paged_by_cursor() -> None:
    user = make_user()
    clients = [UserServiceClient(user) for _ in range(5)]

    page = clients[0].get(SESSIONS, {"limit": 3}).json()
    rest = clients[0].get(page["next"]).json()

    seen = [row["id"] for row in page["results"] + rest["results"]]
    assert (len(page["results"]), rest["next"]) == (3, None)
    assert seen == [str(client.session_id) for client in reversed(clients)]


def test_ending_a_session_shuts_it_out_at_once() -> None:
    user = make_user()
    here, there = UserServiceClient(user), UserServiceClient(user)

    assert here.delete(f"{SESSIONS}/{there.session_id}").status_code == 204

    assert there.get(ME).status_code == 401
    assert there.tokens is not None
    assert there.post("/api/v1/auth/refresh", {"refresh": there.tokens.refresh}).status_code == 401
    assert here.get(ME).status_code == 200
    assert UserSession.objects.get(pk=there.session_id).revoked_reason == "ended_by_user"


def test_somebody_elses_session_is_not_there() -> None:
    mine, theirs = UserServiceClient(make_user()), UserServiceClient(make_user())

    answers = [mine.delete(f"{SESSIONS}/{which}") for which in (theirs.session_id, uuid4())]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["error"]["message"] == answers[1].json()["error"]["message"]
    assert theirs.get(ME).status_code == 200


def test_ending_a_session_twice_is_a_404_but_the_same_key_gets_the_same_answer() -> None:
    user = make_user()
    here, there = UserServiceClient(user), UserServiceClient(user)
    path = f"{SESSIONS}/{there.session_id}"

    assert here.delete(path, HTTP_IDEMPOTENCY_KEY="end-it").status_code == 204
    assert here.delete(path, HTTP_IDEMPOTENCY_KEY="end-it").status_code == 204
    assert here.delete(path).status_code == 404


def test_a_session_of_a_disabled_account_is_dead() -> None:
    user = make_user()
    client = UserServiceClient(user)
    user.is_active = False
    user.save()

    assert client.get(ME).status_code == 401


@pytest.mark.parametrize("path", [SESSIONS, ME, "/api/v1/user/me/activity", "/api/v1/user", "/api/v1/onboarding"])
def test_without_a_token_there_is_a_401_that_says_how_to_send_one(api: UserServiceClient, path: str) -> None:
    answer = api.get(path)

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'
    assert answer.json()["error"]["code"] == "not_authenticated"


def test_a_session_above_the_limit_ends_the_one_that_was_used_longest_ago(settings: Any) -> None:
    settings.SESSIONS_PER_USER = 3
    user, stranger = make_user(), UserServiceClient(make_user())
    first, second, third = (UserServiceClient(user) for _ in range(3))
    UserSession.objects.filter(pk=second.session_id).update(last_used_at=timezone.now() - timedelta(hours=1))

    fourth = UserServiceClient(user)

    assert second.get(ME).status_code == 401
    assert [client.get(ME).status_code for client in (first, third, fourth, stranger)] == [200] * 4
    ended = UserSession.objects.get(pk=second.session_id)
    assert ended.revoked_reason == "session_limit"
    (event,) = stream_list(aggregate_type="user", aggregate_id=user.id)
    assert event.event_type == "user.session_ended"
    assert str(second.session_id).encode() in event.payload
    assert b'"session_limit"' in event.payload


def test_ended_and_expired_sessions_take_no_place(settings: Any) -> None:
    settings.SESSIONS_PER_USER = 2
    user = make_user()
    first, ended = UserServiceClient(user), UserServiceClient(user)
    settings.SESSIONS_PER_USER = 3
    expired = UserServiceClient(user)
    settings.SESSIONS_PER_USER = 2
    first.delete(f"{SESSIONS}/{ended.session_id}")
    UserSession.objects.filter(pk=expired.session_id).update(expires_at=timezone.now())

    UserServiceClient(user)

    assert UserSession.objects.get(pk=first.session_id).revoked_at is None


@pytest.mark.django_db(transaction=True)
def test_log_ins_at_once_open_no_more_sessions_than_the_limit(settings: Any) -> None:
    settings.SESSIONS_PER_USER = 3
    user = make_user()
    start = threading.Barrier(6)

    def log_in(_: int) -> int:
        try:
            start.wait(10)
            answer = UserServiceClient().post("/api/v1/auth/login", {"email": user.email, "password": PASSWORD})
            return int(answer.status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(log_in, range(6)))

    assert statuses == [200] * 6
    assert UserSession.objects.filter(user=user, revoked_at=None).count() == 3
