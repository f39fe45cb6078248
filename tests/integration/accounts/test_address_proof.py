"""Nobody holds an address that somebody else reads the mail of, and nobody inherits what an unproven owner set up."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pyotp
import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from apps.accounts.models import MfaDevice, User
from apps.accounts.services.mail import mail_send_due
from apps.events.models import StoredEvent
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

VICTIM = "ada@example.com"
THEIRS = "the password of a stranger"
REGISTER, LOGIN = "/api/v1/auth/register", "/api/v1/auth/login"
VERIFY, RESEND = "/api/v1/auth/email/verify", "/api/v1/auth/email/resend"
FORGOT, RESET = "/api/v1/auth/password/forgot", "/api/v1/auth/password/reset"
SETUP, CONFIRM = "/api/v1/auth/mfa/setup", "/api/v1/auth/mfa/confirm"


def _register(password: str, *, name: str = "") -> None:
    body = {"email": VICTIM, "password": password, "name": name}
    assert UserServiceClient().post(REGISTER, body).status_code == 201


def _logged_in(password: str) -> UserServiceClient:
    client = UserServiceClient()
    answer = client.post(LOGIN, {"email": VICTIM, "password": password})
    assert answer.status_code == 200, answer.content
    client.bear(answer.json()["access"])
    return client


def _mailed_code() -> str:
    while mail_send_due(now=timezone.now()):
        pass
    found = re.search(r"^    (\S+)$", str(mail.outbox[-1].body), re.MULTILINE)
    assert found
    assert mail.outbox[-1].to == [VICTIM]
    return found.group(1)


def _claims(client: UserServiceClient) -> dict[str, Any]:
    credentials: dict[str, str] = vars(client)["_credentials"]
    access = credentials["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
    claims: dict[str, Any] = jwt.decode(access, options={"verify_signature": False})
    return claims


def test_two_factor_log_in_cannot_be_switched_on_before_the_address_is_confirmed() -> None:
    _register(THEIRS)
    stranger = _logged_in(THEIRS)

    refused = stranger.post(SETUP, {"password": THEIRS})

    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (403, "email_not_verified")
    assert error["details"]["how_to_meet"] == "POST /api/v1/auth/email/verify"
    assert MfaDevice.objects.count() == 0


def test_one_that_was_set_up_before_cannot_be_confirmed_either() -> None:
    user = make_user()
    mine = UserServiceClient(user)
    secret = mine.post(SETUP, {"password": PASSWORD}).json()["secret"]
    User.objects.update(email_verified_at=None)

    assert mine.post(CONFIRM, {"otp": pyotp.TOTP(secret).now()}).json()["error"]["code"] == "email_not_verified"


def test_the_owner_of_an_address_that_a_stranger_registered_gets_in_with_a_new_password() -> None:
    _register(THEIRS, name="Not Ada")
    stranger = _logged_in(THEIRS)
    stranger.post("/api/v1/auth/mfa/setup", {"password": THEIRS})
    taken = User.objects.get()

    owner = UserServiceClient()
    owner.post(FORGOT, {"email": VICTIM})
    assert owner.post(RESET, {"token": _mailed_code(), "password": PASSWORD}).status_code == 204

    mine = _logged_in(PASSWORD)
    me = mine.get("/api/v1/user/me").json()
    assert (me["email"], me["name"], me["id"] == str(taken.id)) == (VICTIM, "", False)
    assert _claims(mine)["email_verified"] is True
    assert stranger.get("/api/v1/user/me").status_code == 401
    assert UserServiceClient().post(LOGIN, {"email": VICTIM, "password": THEIRS}).status_code == 401
    taken.refresh_from_db()
    assert (taken.is_active, taken.name, VICTIM in taken.email) == (False, "", False)
    assert StoredEvent.objects.filter(event_type="user.disabled", aggregate_id=taken.id).count() == 1


def test_registering_a_held_address_mails_its_owner_a_code_and_the_one_who_proves_wins() -> None:
    _register(THEIRS)
    stranger = _logged_in(THEIRS)
    _mailed_code()
    _register("what the owner chose first")

    code = _mailed_code()
    assert "Confirm that this address is yours" in mail.outbox[-1].subject
    assert UserServiceClient().post(RESET, {"token": code, "password": PASSWORD}).status_code == 204

    assert _logged_in(PASSWORD).get("/api/v1/user/me").json()["email_verified_at"]
    assert stranger.get("/api/v1/user/me").status_code == 401


def test_registering_an_address_that_was_proved_mails_no_code() -> None:
    make_user(email=VICTIM)
    _register(THEIRS)
    while mail_send_due(now=timezone.now()):
        pass

    assert [message.subject for message in mail.outbox] == ["You already have an account"]


def test_the_code_alone_confirms_the_address_for_a_new_account() -> None:
    _register(THEIRS)
    stranger = _logged_in(THEIRS)
    answer = UserServiceClient().post(VERIFY, {"token": _mailed_code()})

    assert answer.status_code == 200
    assert "set a password" in answer.json()["message"]
    assert stranger.get("/api/v1/user/me").status_code == 401
    assert UserServiceClient().post(LOGIN, {"email": VICTIM, "password": THEIRS}).status_code == 401
    assert UserServiceClient().post(RESET, {"token": _mailed_code(), "password": PASSWORD}).status_code == 204
    assert _claims(_logged_in(PASSWORD))["email_verified"] is True


@pytest.mark.parametrize("by", ["password", "session"])
def test_whoever_registered_and_reads_the_mail_keeps_everything(by: str) -> None:
    _register(PASSWORD, name="Ada")
    mine = _logged_in(PASSWORD)
    user = User.objects.get()
    body = {"token": _mailed_code()}

    if by == "session":
        answer = mine.post(VERIFY, body)
    else:
        answer = UserServiceClient().post(VERIFY, body | {"password": PASSWORD})

    assert answer.status_code == 204
    user.refresh_from_db()
    assert (user.name, user.email_verified_at is not None) == ("Ada", True)
    assert mine.get("/api/v1/user/me").status_code == 200
    assert _claims(_logged_in(PASSWORD))["email_verified"] is True
    assert mine.post(SETUP, {"password": PASSWORD}).status_code == 200


def test_a_password_of_somebody_else_confirms_nothing_and_leaves_the_code_good() -> None:
    _register(THEIRS)
    code = _mailed_code()

    refused = UserServiceClient().post(VERIFY, {"token": code, "password": PASSWORD})

    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "password_wrong")
    assert User.objects.get().email_verified_at is None
    assert UserServiceClient().post(VERIFY, {"token": code, "password": THEIRS}).status_code == 204


def test_a_session_of_another_account_is_no_proof_of_having_registered() -> None:
    _register(THEIRS)

    assert UserServiceClient(make_user()).post(VERIFY, {"token": _mailed_code()}).status_code == 200


def test_a_new_code_can_be_asked_for_and_replaces_the_first() -> None:
    _register(PASSWORD)
    first = _mailed_code()
    mine = _logged_in(PASSWORD)

    assert mine.post(RESEND).status_code == 202
    second = _mailed_code()

    assert first != second
    assert mine.post(VERIFY, {"token": first}).status_code == 422
    assert mine.post(VERIFY, {"token": second}).status_code == 204
    sent = len(mail.outbox)
    assert mine.post(RESEND).status_code == 202
    assert not mail_send_due(now=timezone.now())
    assert len(mail.outbox) == sent


def test_staff_who_never_confirmed_their_address_keep_their_account() -> None:
    staff = make_user(email=VICTIM, roles=["support"], email_verified_at=None)
    UserServiceClient().post(FORGOT, {"email": VICTIM})
    UserServiceClient().post(RESET, {"token": _mailed_code(), "password": "a wholly different sentence"})

    staff.refresh_from_db()
    assert (staff.roles, staff.is_active, staff.email_verified_at is not None) == (["support"], True, True)


@pytest.mark.django_db(transaction=True)
def test_a_proof_and_registrations_at_once_leave_one_account_with_the_address() -> None:
    _register(THEIRS)
    code = _mailed_code()
    at_once = 6
    start = threading.Barrier(at_once)

    def act(number: int) -> int:
        start.wait()
        try:
            if number % 2:
                return int(UserServiceClient().post(VERIFY, {"token": code}).status_code)
            body = {"email": VICTIM, "password": "yet another sentence"}
            return int(UserServiceClient().post(REGISTER, body).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(at_once) as pool:
        statuses = list(pool.map(act, range(at_once)))

    assert sorted(statuses[1::2]) == [200, 422, 422]
    assert statuses[0::2] == [201, 201, 201]
    assert User.objects.filter(email=VICTIM, is_active=True).count() == 1
