"""Accounts on the staff site."""

import json
from typing import Any

import pyotp
import pytest
from django.test import Client
from django.utils import timezone
from pydantic import SecretStr

from apps.accounts.errors import TooManyAttempts
from apps.accounts.models import AccountClosure, LockoutCounter, MfaDevice, OutgoingMail, User, UserSession
from apps.accounts.services.lockout import LIMITS, lockout_count_attempt
from apps.accounts.services.mail import mail_queue
from apps.accounts.services.mfa import mfa_confirm, mfa_set_up
from apps.core.identity.client_info import ClientInfo
from apps.events.models import StoredEvent
from service_common.environment import InvalidEnvironment
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user
from tests.support.staff_site import client_of, serve_staff_site

pytestmark = pytest.mark.django_db

USERS = "/admin/accounts/user/"
SESSIONS = "/admin/accounts/usersession/"


@pytest.fixture(autouse=True)
def _staff_site(settings: Any, _user_service: None) -> None:
    serve_staff_site(settings)


def _log_in(email: str, password: str = PASSWORD, otp: str = "") -> Any:
    return Client().post("/admin/login/", {"username": email, "password": password, "otp": otp, "next": "/admin/"})


def _edit(user: User, **changes: Any) -> dict[str, Any]:
    fields = {
        "name": user.name,
        "time_zone": user.time_zone,
        "roles": user.roles,
        "because": "asked by phone",
        **changes,
    }
    return {**fields, **({"is_active": "on"} if changes.get("is_active", True) else {"is_active": ""})}


def test_staff_log_in_with_their_password() -> None:
    assert _log_in(make_user(roles=["auditor"]).email).status_code == 302


def test_a_trader_and_a_wrong_password_are_refused_alike() -> None:
    for email, password in ((make_user().email, PASSWORD), (make_user(roles=["admin"]).email, "wrong")):
        answer = _log_in(email, password)
        assert answer.status_code == 200
        assert "Please enter the correct" in answer.content.decode()


def test_guessing_on_the_staff_site_locks_the_account_everywhere() -> None:
    admin = make_user(roles=["admin"])
    for _ in range(LIMITS[LockoutCounter.Kind.PAIR].attempts):
        _log_in(admin.email, "wrong")

    assert _log_in(admin.email).status_code == 200
    with pytest.raises(TooManyAttempts):
        lockout_count_attempt(email=admin.email, client=ClientInfo("127.0.0.1", ""), now=timezone.now())


def test_the_staff_site_asks_for_the_one_time_password() -> None:
    admin = make_user(roles=["admin"])
    now = timezone.now()
    totp = pyotp.TOTP(mfa_set_up(user_id=admin.id, password=PASSWORD, now=now).secret)
    before = int(now.timestamp()) - 30
    mfa_confirm(user_id=admin.id, otp=totp.at(before), now=now)

    assert _log_in(admin.email).status_code == 200
    assert _log_in(admin.email, otp=totp.now()).status_code == 302


@pytest.mark.parametrize("role", ["admin", "support", "auditor", "operator"])
@pytest.mark.parametrize("page", ["user", "usersession", "outgoingmail", "lockoutcounter", "accountclosure"])
def test_every_staff_role_sees_every_list(role: str, page: str) -> None:
    user = make_user()
    UserServiceClient(user)
    mail_queue(kind=OutgoingMail.Kind.PASSWORD_CHANGED, email=user.email, now=timezone.now())

    answer = client_of(role).get(
        f"/admin/accounts/{page}/", {"q": "trader"} if page not in ("lockoutcounter", "accountclosure") else {}
    )

    assert answer.status_code == 200


def test_staff_see_what_keeps_a_closure_from_its_end() -> None:
    now = timezone.now()
    AccountClosure.objects.create(
        user=make_user(), requested_at=now, abandons=False, remaining={"open_orders": ["mk-1"]}, next_step_at=now
    )

    assert "mk-1" in client_of("support").get("/admin/accounts/accountclosure/").content.decode()


def test_no_page_shows_a_hash_a_digest_or_a_sealed_secret() -> None:
    user = make_user()
    session = UserServiceClient(user).session_id
    admin = client_of("admin")

    for page in (USERS, f"{USERS}{user.id}/change/", SESSIONS, f"{SESSIONS}{session}/change/"):
        text = admin.get(page).content.decode()
        assert user.email in text
        assert "md5$" not in text
        assert "digest" not in text.lower()


@pytest.mark.parametrize("role", ["support", "auditor", "operator", "admin"])
def test_sessions_and_mail_are_read_only(role: str) -> None:
    session = UserServiceClient(make_user()).session_id
    client = client_of(role)

    for path in (f"{SESSIONS}add/", f"{SESSIONS}{session}/delete/", f"{USERS}add/"):
        assert client.get(path).status_code == 403
    client.post(f"{SESSIONS}{session}/change/", {"address": "1.1.1.1"})
    assert UserSession.objects.get(pk=session).address != "1.1.1.1"


def test_an_admins_change_goes_through_the_service() -> None:
    user = make_user()
    theirs = UserServiceClient(user)

    answer = client_of("admin").post(f"{USERS}{user.id}/change/", _edit(user, roles=["auditor"]))

    assert answer.status_code == 302
    user.refresh_from_db()
    assert user.roles == ["auditor"]
    assert UserSession.objects.get(pk=theirs.session_id).revoked_reason == "access_changed"
    assert StoredEvent.objects.filter(event_type="user.updated", aggregate_id=user.id).count() == 1


def test_support_changes_a_name_and_nothing_that_gives_access() -> None:
    user = make_user()

    client_of("support").post(f"{USERS}{user.id}/change/", _edit(user, name="Ada", roles=["admin"], is_active=False))

    user.refresh_from_db()
    assert (user.name, user.roles, user.is_active) == ("Ada", ["trader"], True)


def test_an_auditor_and_an_operator_change_nothing() -> None:
    user = make_user()
    for role in ("auditor", "operator"):
        assert client_of(role).post(f"{USERS}{user.id}/change/", _edit(user, name="x")).status_code == 403
    user.refresh_from_db()
    assert user.name == ""


def test_an_admin_cannot_take_away_their_own_role() -> None:
    admin = make_user(roles=["admin"])
    client = Client()
    client.force_login(admin)

    client.post(f"{USERS}{admin.id}/change/", _edit(admin, roles=["trader"], is_active=False))

    admin.refresh_from_db()
    assert (admin.roles, admin.is_active) == (["admin"], True)


def test_actions_end_sessions_and_lift_a_lock() -> None:
    user = make_user()
    theirs = UserServiceClient(user)
    lockout_count_attempt(email=user.email, client=ClientInfo(None, ""), now=timezone.now())
    support = client_of("support")

    for action in ("end_sessions", "lift_lock"):
        support.post(USERS, {"action": action, "_selected_action": [str(user.id)], "reason": "asked by phone"})

    assert UserSession.objects.get(pk=theirs.session_id).revoked_reason == "ended_by_staff"
    assert LockoutCounter.objects.count() == 0


def test_support_ends_one_session_for_a_reason() -> None:
    user = make_user()
    ended, other = UserServiceClient(user).session_id, UserServiceClient(user).session_id
    form = {"action": "end", "_selected_action": [str(ended)]}

    client_of("support").post(SESSIONS, form)
    assert UserSession.objects.get(pk=ended).revoked_at is None
    client_of("auditor").post(SESSIONS, {**form, "reason": "a stolen laptop"})
    assert UserSession.objects.get(pk=ended).revoked_at is None

    client_of("support").post(SESSIONS, {**form, "reason": "a stolen laptop"})
    assert UserSession.objects.get(pk=ended).revoked_reason == "ended_by_staff"
    assert UserSession.objects.get(pk=other).revoked_at is None
    acted = StoredEvent.objects.get(event_type="staff.acted")
    assert json.loads(bytes(acted.payload))["reason"] == "a stolen laptop"


def test_a_change_of_a_user_asks_for_a_reason() -> None:
    user = make_user()

    answer = client_of("admin").post(f"{USERS}{user.id}/change/", _edit(user, name="Ada", because=""))

    assert "This field is required." in answer.content.decode()
    user.refresh_from_db()
    assert user.name == ""


def test_without_the_mfa_key_nobody_with_a_second_factor_gets_in(settings: Any) -> None:
    admin = make_user(roles=["admin"])
    now = timezone.now()
    secret = mfa_set_up(user_id=admin.id, password=PASSWORD, now=now).secret
    MfaDevice.objects.update(confirmed_at=now)
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"mfa_key": SecretStr("")})

    with pytest.raises(InvalidEnvironment, match="MUCKARD_MFA_KEY is missing"):
        _log_in(admin.email, otp=pyotp.TOTP(secret).now())


def test_the_log_in_form_says_until_when_it_is_locked_and_not_whether_there_is_an_account() -> None:
    admin = make_user(roles=["admin"])
    texts = []
    for email in (admin.email, "nobody@example.com"):
        for _ in range(LIMITS[LockoutCounter.Kind.PAIR].attempts):
            assert "Please enter the correct" in _log_in(email, "wrong").content.decode()
        page = _log_in(email).content.decode()
        texts.append(page.partition('<div class="errornote')[2].partition("</div>")[0])

    assert "Too many failed attempts. Try again in 15 min, at " in texts[0]
    assert texts[0].partition(", at ")[0] == texts[1].partition(", at ")[0]


def test_the_log_in_form_asks_for_a_missing_one_time_password_after_the_right_password_only() -> None:
    admin = make_user(roles=["admin"])
    now = timezone.now()
    mfa_set_up(user_id=admin.id, password=PASSWORD, now=now)
    MfaDevice.objects.update(confirmed_at=now)

    assert "Enter your one-time password" in _log_in(admin.email).content.decode()
    assert "Enter your one-time password" not in _log_in(admin.email, "wrong").content.decode()
