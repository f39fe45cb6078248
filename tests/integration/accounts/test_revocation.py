"""Whatever ends a session ends it in the kraken service too, which knows no account and no session."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from apps.accounts.models import OneTimeToken, User, UserSession
from apps.accounts.services.one_time_tokens import token_issue
from apps.accounts.services.sessions import REUSE_WINDOW, sessions_end_all
from apps.core.identity import revocations
from apps.core.identity.revocations import revocations_purge
from apps.core.models import RevokedSession
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

BOTS = "/api/v1/bot"
NEW_PASSWORD = "a wholly different sentence"


def _log_out(mine: UserServiceClient, _: User) -> None:
    assert mine.post("/api/v1/auth/logout").status_code == 204


def _end_the_session(mine: UserServiceClient, _: User) -> None:
    assert mine.delete(f"/api/v1/auth/sessions/{mine.session_id}").status_code == 204


def _change_the_password_elsewhere(_: UserServiceClient, user: User) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert UserServiceClient(user).post("/api/v1/user/me/password", body).status_code == 204


def _reset_the_password(_: UserServiceClient, user: User) -> None:
    token = token_issue(user=user, purpose=OneTimeToken.Purpose.RESET_PASSWORD, now=timezone.now())
    body = {"token": token, "password": NEW_PASSWORD}
    assert UserServiceClient().post("/api/v1/auth/password/reset", body).status_code == 204


def _replay_the_refresh_token(mine: UserServiceClient, _: User) -> None:
    assert mine.tokens is not None
    body = {"refresh": mine.tokens.refresh}
    assert UserServiceClient().post("/api/v1/auth/refresh", body).status_code == 200
    UserSession.objects.update(rotated_at=timezone.now() - 2 * REUSE_WINDOW)
    assert UserServiceClient().post("/api/v1/auth/refresh", body).status_code == 401


def _disable(_: UserServiceClient, user: User) -> None:
    admin = UserServiceClient(make_user(roles=["admin"]))
    assert admin.patch(f"/api/v1/user/{user.id}", {"is_active": False}).status_code == 200


def _change_the_roles(_: UserServiceClient, user: User) -> None:
    admin = UserServiceClient(make_user(roles=["admin"]))
    assert admin.patch(f"/api/v1/user/{user.id}", {"roles": ["trader", "auditor"]}).status_code == 200


def _end_by_staff(_: UserServiceClient, user: User) -> None:
    sessions_end_all(user_id=user.id, ending=UserSession.Ending.ENDED_BY_STAFF, now=timezone.now())


def _status_in_the_kraken_service(client: UserServiceClient, settings: Any) -> int:
    """The kraken service authenticates as its own settings say."""
    from rest_framework.exceptions import APIException
    from rest_framework.request import Request
    from rest_framework.test import APIRequestFactory

    from apps.core.identity.principal import PrincipalAuthentication

    credentials: dict[str, str] = vars(client)["_credentials"]
    header = credentials["HTTP_AUTHORIZATION"]
    request = Request(APIRequestFactory().get(BOTS, HTTP_AUTHORIZATION=header))
    try:
        PrincipalAuthentication().authenticate(request)
    except APIException as error:
        return error.status_code
    return 200


@pytest.mark.parametrize(
    "end",
    [
        _log_out,
        _end_the_session,
        _change_the_password_elsewhere,
        _reset_the_password,
        _replay_the_refresh_token,
        _disable,
        _change_the_roles,
        _end_by_staff,
    ],
)
def test_the_access_token_of_an_ended_session_is_refused_by_services_without_sessions(
    end: Callable[[UserServiceClient, User], None], settings: Any
) -> None:
    user = make_user()
    mine, bystander = UserServiceClient(user), UserServiceClient(make_user())
    revocations.forget()
    assert _status_in_the_kraken_service(mine, settings) == 200

    end(mine, user)
    revocations.forget()  # READ_EVERY has passed

    assert _status_in_the_kraken_service(mine, settings) == 401
    assert _status_in_the_kraken_service(bystander, settings) == 200
    assert mine.get("/api/v1/onboarding").status_code == 401


def test_a_rolled_back_end_revokes_nothing(django_capture_on_commit_callbacks: Any) -> None:
    from django.db import transaction

    user = make_user()
    UserServiceClient(user)
    with pytest.raises(RuntimeError), transaction.atomic():
        sessions_end_all(user_id=user.id, ending=UserSession.Ending.ENDED_BY_STAFF, now=timezone.now())
        raise RuntimeError
    assert not RevokedSession.objects.exists()


def test_a_row_outlives_the_last_access_token_and_is_then_deleted(settings: Any) -> None:
    user = make_user()
    session_id: UUID = UserServiceClient(user).session_id
    now = timezone.now()
    sessions_end_all(user_id=user.id, ending=UserSession.Ending.ENDED_BY_STAFF, now=now)
    lifetime = settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"]

    revocations_purge(now=now + lifetime)
    assert RevokedSession.objects.get().session_id == session_id
    assert revocations_purge(now=now + 2 * lifetime) == 1
