"""Mail is queued in the transaction that causes it and sent by the mailer; its token is valid once."""

import re
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.errors import TokenNotValid
from apps.accounts.models import LockoutCounter, OneTimeToken, OutgoingMail, User, UserSession
from apps.accounts.services.lockout import LIMITS
from apps.accounts.services.mail import GIVEN_UP_AFTER, QUIET_TIME, mail_queue, mail_send_due
from apps.accounts.services.passwords import password_forgot, password_reset
from apps.core.identity.client_info import ClientInfo
from apps.events.models import StoredEvent
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

FORGOT = "/api/v1/auth/password/forgot"
RESET = "/api/v1/auth/password/reset"
VERIFY = "/api/v1/auth/email/verify"
NEW_PASSWORD = "a wholly different sentence"


def _send(now: datetime | None = None) -> None:
    while mail_send_due(now=now or timezone.now()):
        pass


def _mailed_token() -> str:
    found = re.search(r"^    (\S{40,})$", str(mail.outbox[-1].body), re.M)
    assert found
    return found[1]


def _forgot(api: UserServiceClient, email: str) -> str:
    api.post(FORGOT, {"email": email})
    _send()
    return _mailed_token()


def test_a_request_sends_no_mail_itself(api: UserServiceClient) -> None:
    with mock.patch("django.core.mail.EmailMessage.send", side_effect=AssertionError):
        answer = api.post("/api/v1/auth/register", {"email": "ada@example.com", "password": PASSWORD})

    assert answer.status_code == 201
    assert OutgoingMail.objects.get().sent_at is None


def test_a_registered_address_is_verified_with_the_mailed_code_once(api: UserServiceClient) -> None:
    api.post("/api/v1/auth/register", {"email": "ada@example.com", "password": PASSWORD})
    _send()
    token = _mailed_token()

    assert mail.outbox[0].to == ["ada@example.com"]
    body = {"token": token, "password": PASSWORD}
    assert api.post(VERIFY, body).status_code == 204
    assert User.objects.get().email_verified_at is not None
    again = api.post(VERIFY, body)
    assert (again.status_code, again.json()["error"]["code"]) == (422, "token_not_valid")
    assert StoredEvent.objects.filter(event_type="user.updated").count() == 1


def test_asking_for_a_new_password_says_nothing_about_the_address(api: UserServiceClient) -> None:
    known = make_user()

    answers = [api.post(FORGOT, {"email": email}) for email in (known.email, "nobody@example.com")]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].content == answers[1].content


def test_asking_does_the_same_work_for_an_unknown_address(
    api: UserServiceClient, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    make_user(email="ada@example.com")
    statements = []
    for email in ("ada@example.com", "eve@example.com"):
        with CaptureQueriesContext(connection) as captured:
            api.post(FORGOT, {"email": email})
        statements.append([re.sub(r"'[^']*'", "?", query["sql"]) for query in captured])

    assert statements[0] == statements[1]


def test_no_mail_goes_to_an_address_without_an_account(api: UserServiceClient) -> None:
    api.post(FORGOT, {"email": "nobody@example.com"})
    _send()

    assert mail.outbox == []
    assert OutgoingMail.objects.count() == OneTimeToken.objects.count() == 0


def test_a_forgotten_password_is_set_anew_and_every_session_ends(api: UserServiceClient) -> None:
    user = make_user()
    logged_in = UserServiceClient(user)
    token = _forgot(api, user.email)

    assert api.post(RESET, {"token": token, "password": NEW_PASSWORD}).status_code == 204

    user.refresh_from_db()
    assert user.check_password(NEW_PASSWORD)
    assert user.email_verified_at is not None
    assert logged_in.get("/api/v1/user/me").status_code == 401
    assert UserSession.objects.get().revoked_reason == "password_changed"
    assert OutgoingMail.objects.get(sent_at=None).kind == "password_changed"


def test_a_reset_unlocks_the_account(api: UserServiceClient) -> None:
    user = make_user()
    for _ in range(LIMITS[LockoutCounter.Kind.PAIR].attempts + 1):
        api.post("/api/v1/auth/login", {"email": user.email, "password": "wrong"})
    api.post(RESET, {"token": _forgot(api, user.email), "password": NEW_PASSWORD})

    assert api.post("/api/v1/auth/login", {"email": user.email, "password": NEW_PASSWORD}).status_code == 200


def test_a_code_works_once(api: UserServiceClient) -> None:
    user = make_user()
    token = _forgot(api, user.email)
    api.post(RESET, {"token": token, "password": NEW_PASSWORD})

    assert api.post(RESET, {"token": token, "password": "yet another sentence"}).status_code == 422
    user.refresh_from_db()
    assert user.check_password(NEW_PASSWORD)


def test_a_code_expires() -> None:
    user = make_user()
    password_forgot(email=user.email, now=timezone.now())
    _send()

    with pytest.raises(TokenNotValid):
        password_reset(
            token=_mailed_token(),
            new_password=NEW_PASSWORD,
            client=ClientInfo(None, ""),
            now=timezone.now() + timedelta(hours=1, seconds=1),
        )


def test_a_newer_code_replaces_the_older(api: UserServiceClient) -> None:
    user = make_user()
    older = _forgot(api, user.email)
    OutgoingMail.objects.update(sent_at=timezone.now() - QUIET_TIME)
    newer = _forgot(api, user.email)

    assert older != newer
    assert api.post(RESET, {"token": older, "password": NEW_PASSWORD}).status_code == 422
    assert api.post(RESET, {"token": newer, "password": NEW_PASSWORD}).status_code == 204


def test_a_code_for_one_purpose_does_not_serve_another(api: UserServiceClient) -> None:
    token = _forgot(api, make_user().email)

    assert api.post(VERIFY, {"token": token}).status_code == 422


def test_a_weak_password_does_not_use_the_code_up(api: UserServiceClient) -> None:
    token = _forgot(api, make_user().email)

    assert api.post(RESET, {"token": token, "password": "short"}).json()["error"]["code"] == "password_too_weak"
    assert api.post(RESET, {"token": token, "password": NEW_PASSWORD}).status_code == 204


def test_a_code_of_a_disabled_account_is_worth_nothing(api: UserServiceClient) -> None:
    user = make_user()
    token = _forgot(api, user.email)
    User.objects.update(is_active=False)

    assert api.post(RESET, {"token": token, "password": NEW_PASSWORD}).status_code == 422


def test_no_code_lies_in_the_database(api: UserServiceClient) -> None:
    token = _forgot(api, make_user().email)

    assert token not in str(list(OutgoingMail.objects.values())) + str(list(OneTimeToken.objects.values()))


def test_a_stranger_who_asks_again_and_again_fills_no_mailbox(api: UserServiceClient) -> None:
    user = make_user()
    for _ in range(5):
        api.post(FORGOT, {"email": user.email})
        _send()

    assert len(mail.outbox) == 1


def test_a_mail_holds_nothing_that_a_stranger_chose(api: UserServiceClient) -> None:
    api.post("/api/v1/auth/register", {"email": "ada@example.com", "password": PASSWORD, "name": "Visit evil.example"})
    _send()

    assert "evil.example" not in str(mail.outbox[0].message())


def test_a_mail_server_that_refuses_is_tried_again_later() -> None:
    now = timezone.now()
    user = make_user()
    mail_queue(kind=OutgoingMail.Kind.PASSWORD_CHANGED, email=user.email, now=now)

    with mock.patch("django.core.mail.EmailMessage.send", side_effect=ConnectionRefusedError):
        _send(now)
    row = OutgoingMail.objects.get()
    assert (row.attempts, row.sent_at, row.last_error) == (1, None, "ConnectionRefusedError")
    assert row.next_attempt_at > now

    _send(now)
    assert mail.outbox == []
    _send(row.next_attempt_at)
    assert len(mail.outbox) == 1
    _send(row.next_attempt_at + timedelta(hours=1))
    assert len(mail.outbox) == 1


def test_a_mail_that_no_server_takes_for_a_day_is_given_up_and_kept_for_staff() -> None:
    now = timezone.now()
    mail_queue(kind=OutgoingMail.Kind.PASSWORD_CHANGED, email=make_user().email, now=now)

    _send(now + GIVEN_UP_AFTER)

    assert mail.outbox == []
    assert OutgoingMail.objects.get().sent_at is None


def test_the_database_lets_one_mail_of_a_kind_wait() -> None:
    now = timezone.now()
    fields = {"kind": "reset_password", "email": "a@b.example", "created_at": now, "next_attempt_at": now}
    OutgoingMail.objects.create(**fields)

    with pytest.raises(IntegrityError), transaction.atomic():
        OutgoingMail.objects.create(**fields)
    mail_queue(kind=OutgoingMail.Kind.RESET_PASSWORD, email="a@b.example", now=now)
    assert OutgoingMail.objects.count() == 1


def test_the_mailer_sends_what_is_due() -> None:
    mail_queue(kind=OutgoingMail.Kind.PASSWORD_CHANGED, email=make_user().email, now=timezone.now())

    call_command("run_mailer", "--once")

    assert len(mail.outbox) == 1


def test_the_mailers_former_command_still_works_and_says_the_new_name(capsys: pytest.CaptureFixture[str]) -> None:
    mail_queue(kind=OutgoingMail.Kind.PASSWORD_CHANGED, email=make_user().email, now=timezone.now())

    call_command("tend_accounts", "--once")

    assert len(mail.outbox) == 1
    assert "tend_accounts is now called run_mailer" in capsys.readouterr().err


def test_in_production_mail_needs_a_server(settings: Any) -> None:
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"environment": "production"})

    with pytest.raises(CommandError, match="MUCKARD_SMTP_URL is missing"):
        call_command("run_mailer", "--once")
