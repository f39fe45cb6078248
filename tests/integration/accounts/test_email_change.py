"""Change of the e-mail address: the new one confirms, the old one takes it back, nobody learns who has an account."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from apps.accounts.errors import TokenNotValid
from apps.accounts.models import EmailChange, User, UserSession
from apps.accounts.services.email_change import email_change_confirm, email_change_revert
from apps.accounts.services.mail import mail_send_due
from apps.accounts.services.mfa import mfa_confirm, mfa_set_up
from apps.events.models import StoredEvent
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

OLD, NEW = "ada@example.com", "ada@example.org"
ME, CHANGE = "/api/v1/user/me", "/api/v1/user/me/email"
CONFIRM, REVERT = "/api/v1/auth/email/change/confirm", "/api/v1/auth/email/change/revert"
LOGIN, RESET = "/api/v1/auth/login", "/api/v1/auth/password/reset"


@pytest.fixture
def user() -> User:
    return make_user(email=OLD)


@pytest.fixture
def mine(user: User) -> UserServiceClient:
    return UserServiceClient(user)


def _ask(client: UserServiceClient, email: str = NEW) -> Any:
    return client.post(CHANGE, {"email": email, "password": PASSWORD})


def _send() -> dict[str, str]:
    """Sends what is due; the codes in it by address."""
    before = len(mail.outbox)
    while mail_send_due(now=timezone.now()):
        pass
    codes = {}
    for message in mail.outbox[before:]:
        found = re.search(r"^    (\S+)$", str(message.body), re.MULTILINE)
        codes[message.to[0]] = found.group(1) if found else ""
    return codes


def _types() -> list[str]:
    events = StoredEvent.objects.filter(event_type__startswith="user.email.").order_by("recorded_at")
    return list(events.values_list("event_type", flat=True))


def test_the_new_address_confirms_and_is_the_accounts_from_then_on(mine: UserServiceClient, user: User) -> None:
    asked = _ask(mine)
    assert asked.status_code == 202
    assert asked.json()["email"] == NEW
    me = mine.get(ME).json()
    assert (me["email"], me["email_change"]) == (OLD, asked.json())

    codes = _send()
    assert codes.keys() == {OLD, NEW}
    assert UserServiceClient().post(CONFIRM, {"token": codes[NEW]}).status_code == 204

    me = mine.get(ME).json()
    assert (me["email"], me["email_change"]) == (NEW, None)
    assert UserServiceClient().post(LOGIN, {"email": NEW, "password": PASSWORD}).status_code == 200
    assert UserServiceClient().post(LOGIN, {"email": OLD, "password": PASSWORD}).status_code == 401
    assert _types() == ["user.email.change_requested", "user.email.changed"]
    assert "@" not in str([bytes(event.payload) for event in StoredEvent.objects.all()])
    assert UserServiceClient().post(CONFIRM, {"token": codes[NEW]}).status_code == 422


@pytest.mark.parametrize("is_changed", [False, True])
def test_the_old_address_takes_it_back_and_locks_the_thief_out(
    mine: UserServiceClient, user: User, is_changed: bool
) -> None:
    _ask(mine)
    codes = _send()
    if is_changed:
        UserServiceClient().post(CONFIRM, {"token": codes[NEW]})
        codes |= _send()

    assert UserServiceClient().post(REVERT, {"token": codes[OLD]}).status_code == 204

    user.refresh_from_db()
    assert user.email == OLD
    assert mine.get(ME).status_code == 401
    assert UserSession.objects.get(user=user).revoked_reason == "email_reverted"
    for email in (OLD, NEW):
        assert UserServiceClient().post(LOGIN, {"email": email, "password": PASSWORD}).status_code == 401
    assert UserServiceClient().post(CONFIRM, {"token": codes[NEW]}).status_code == 422
    reset = {"token": _send()[OLD], "password": "a wholly different sentence"}
    assert UserServiceClient().post(RESET, reset).status_code == 204
    assert UserServiceClient().post(LOGIN, {"email": OLD, "password": reset["password"]}).status_code == 200
    assert _types()[-1] == "user.email.reverted"


def test_a_later_change_does_not_take_the_first_ones_way_back(mine: UserServiceClient, user: User) -> None:
    _ask(mine)
    UserServiceClient().post(CONFIRM, {"token": _send()[NEW]})
    way_back = _send()[OLD]
    _ask(mine, "thief@example.net")
    UserServiceClient().post(CONFIRM, {"token": _send()["thief@example.net"]})

    assert UserServiceClient().post(REVERT, {"token": way_back}).status_code == 204

    user.refresh_from_db()
    assert user.email == OLD
    assert set(EmailChange.objects.values_list("state", flat=True)) == {"reverted"}


def test_the_codes_end_in_time(mine: UserServiceClient, user: User) -> None:
    _ask(mine)
    codes = _send()
    now = timezone.now()

    with pytest.raises(TokenNotValid):
        email_change_confirm(token=codes[NEW], now=now + timedelta(days=3, seconds=1))
    email_change_confirm(token=codes[NEW], now=now)
    code = _send()[OLD]
    with pytest.raises(TokenNotValid):
        email_change_revert(token=code, now=now + timedelta(hours=72, seconds=1))
    email_change_revert(token=code, now=now + timedelta(hours=71))


def test_an_address_with_an_account_is_answered_alike_and_gets_no_code(mine: UserServiceClient) -> None:
    make_user(email="eve@example.com")
    taken, free = _ask(mine, "eve@example.com"), _ask(UserServiceClient(make_user()), "free@example.com")

    assert taken.status_code == free.status_code == 202
    assert taken.json().keys() == free.json().keys()
    codes = _send()
    assert codes["eve@example.com"] == ""
    assert codes["free@example.com"]


def test_an_address_that_somebody_holds_unconfirmed_gives_way_to_the_one_who_reads_its_mail(
    mine: UserServiceClient, user: User
) -> None:
    holder = make_user(email=NEW, email_verified_at=None)
    _ask(mine)

    assert UserServiceClient().post(CONFIRM, {"token": _send()[NEW]}).status_code == 204

    user.refresh_from_db()
    holder.refresh_from_db()
    assert (user.email, holder.is_active) == (NEW, False)


def test_an_address_that_was_proved_meanwhile_is_not_taken_over(mine: UserServiceClient, user: User) -> None:
    _ask(mine)
    code = _send()[NEW]
    make_user(email=NEW)

    refused = UserServiceClient().post(CONFIRM, {"token": code})

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "email_taken")
    user.refresh_from_db()
    assert user.email == OLD


def test_without_a_second_factor_it_asks_for_the_password(mine: UserServiceClient) -> None:
    wrong = mine.post(CHANGE, {"email": NEW, "password": "wrong"})
    missing = mine.post(CHANGE, {"email": NEW})

    assert [answer.json()["error"]["code"] for answer in (wrong, missing)] == ["password_wrong"] * 2
    assert EmailChange.objects.count() == 0


def test_with_a_second_factor_it_asks_for_a_step_up(mine: UserServiceClient, user: User) -> None:
    now = timezone.now()
    totp = pyotp.TOTP(mfa_set_up(user_id=user.id, password=PASSWORD, now=now).secret)
    mfa_confirm(user_id=user.id, otp=totp.at(int(now.timestamp()) - 30), now=now, session_id=mine.session_id)
    refused = _ask(mine)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "step_up_required")

    mine.bear(mine.post("/api/v1/auth/step-up", {"otp": totp.now()}).json()["access"])

    assert mine.post(CHANGE, {"email": NEW}).status_code == 202


def test_an_unconfirmed_address_and_the_same_one_are_refused(mine: UserServiceClient, user: User) -> None:
    assert _ask(mine, OLD.upper()).json()["error"]["code"] == "email_is_the_same"
    User.objects.update(email_verified_at=None)
    assert _ask(mine).json()["error"]["code"] == "email_not_verified"


def test_asking_again_mails_nobody_twice_and_another_address_replaces_the_first(mine: UserServiceClient) -> None:
    first = _ask(mine).json()
    assert _ask(mine).json() == first
    codes = _send()
    assert len(mail.outbox) == 2

    assert _ask(mine, "ada@example.net").json()["email"] == "ada@example.net"
    assert UserServiceClient().post(CONFIRM, {"token": codes[NEW]}).status_code == 422
    assert list(EmailChange.objects.order_by("requested_at").values_list("state", flat=True)) == ["replaced", "pending"]


@pytest.mark.django_db(transaction=True)
def test_confirming_and_reverting_at_once_ends_in_one_of_both_and_never_in_between() -> None:
    user = make_user(email=OLD)
    _ask(UserServiceClient(user))
    codes = _send()
    start = threading.Barrier(4)

    def act(number: int) -> int:
        start.wait()
        try:
            path, code = (CONFIRM, codes[NEW]) if number % 2 else (REVERT, codes[OLD])
            return int(UserServiceClient().post(path, {"token": code}).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(act, range(4)))

    user.refresh_from_db()
    assert set(statuses) <= {204, 422}
    assert statuses[0::2].count(204) <= 1
    assert statuses[1::2].count(204) <= 1
    assert (user.email, EmailChange.objects.get().state) in {(OLD, "reverted"), (NEW, "changed")}
