"""Staff remove a lost second factor, and it takes two of them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from django.core import mail
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from apps.accounts.errors import MfaNotSetUp, MfaRemovalOpen, MfaRemovalOver, RoleNotYours, TwoPersonsNeeded
from apps.accounts.models import MfaRemoval, RecoveryCode, User, UserSession
from apps.accounts.services.mail import mail_send_due
from apps.accounts.services.mfa import mfa_confirm, mfa_is_enabled, mfa_set_up
from apps.accounts.services.mfa_removal import mfa_removal_consent, mfa_removal_request
from apps.events.models import StoredEvent
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user
from tests.support.staff_site import serve_staff_site

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/mfaremoval/"


def _with_mfa(**fields: Any) -> User:
    user = make_user(**fields)
    now = timezone.now()
    totp = pyotp.TOTP(mfa_set_up(user_id=user.id, password=PASSWORD, now=now).secret)
    mfa_confirm(user_id=user.id, otp=totp.now(), now=now)
    return user


def _ask(user: User, staff: User, **more: Any) -> MfaRemoval:
    return mfa_removal_request(
        user_id=user.id, staff_id=staff.id, reason="Showed a passport", now=more.get("now") or timezone.now()
    )


def test_two_persons_remove_it_and_the_owner_is_told_twice() -> None:
    user, support, admin = _with_mfa(), make_user(roles=["support"]), make_user(roles=["admin"])
    theirs = UserServiceClient(user)
    removal = _ask(user, support)
    assert mfa_is_enabled(user_id=user.id)

    mfa_removal_consent(removal_id=removal.id, staff_id=admin.id, now=timezone.now())

    assert not mfa_is_enabled(user_id=user.id)
    assert RecoveryCode.objects.count() == 0
    assert UserSession.objects.get(pk=theirs.session_id).revoked_reason == "ended_by_staff"
    assert (
        UserServiceClient().post("/api/v1/auth/login", {"email": user.email, "password": PASSWORD}).status_code == 200
    )
    while mail_send_due(now=timezone.now()):
        pass
    subjects = [message.subject for message in mail.outbox if message.to == [user.email]]
    assert {"Your second factor is to be removed", "Your second factor was removed"} <= set(subjects)
    events = StoredEvent.objects.filter(event_type__startswith="user.mfa.remov", aggregate_id=user.id)
    assert {event.event_type for event in events} == {"user.mfa.removal_requested", "user.mfa.removed"}
    done = next(event for event in events if event.event_type == "user.mfa.removed")
    payload = bytes(done.payload).decode()
    assert str(support.id) in payload
    assert str(admin.id) in payload
    assert "passport" not in payload


@pytest.mark.parametrize("who", ["the same person", "support", "an auditor", "the owner"])
def test_nobody_else_consents(who: str) -> None:
    user = _with_mfa(roles=["admin"])
    asked_by = make_user(roles=["admin"])
    removal = _ask(user, asked_by)
    staff = {
        "the same person": asked_by,
        "support": make_user(roles=["support"]),
        "an auditor": make_user(roles=["auditor"]),
        "the owner": user,
    }[who]

    with pytest.raises((TwoPersonsNeeded, RoleNotYours)):
        mfa_removal_consent(removal_id=removal.id, staff_id=staff.id, now=timezone.now())
    assert mfa_is_enabled(user_id=user.id)


def test_who_may_ask() -> None:
    user, admin = _with_mfa(), _with_mfa(roles=["admin"])

    for role in ("auditor", "operator", "trader"):
        with pytest.raises(RoleNotYours):
            _ask(user, make_user(roles=[role]))
    with pytest.raises(RoleNotYours):
        _ask(admin, make_user(roles=["support"]))
    with pytest.raises(TwoPersonsNeeded):
        _ask(admin, admin)
    with pytest.raises(MfaNotSetUp):
        _ask(make_user(), admin)
    _ask(user, admin)
    with pytest.raises(MfaRemovalOpen):
        _ask(user, make_user(roles=["support"]))


def test_a_request_is_good_for_a_day_and_once() -> None:
    user, support, admin = _with_mfa(), make_user(roles=["support"]), make_user(roles=["admin"])
    began = timezone.now()
    removal = _ask(user, support, now=began)

    with pytest.raises(MfaRemovalOver):
        mfa_removal_consent(removal_id=removal.id, staff_id=admin.id, now=began + timedelta(hours=24))
    again = _ask(user, support, now=began + timedelta(hours=24))
    mfa_removal_consent(removal_id=again.id, staff_id=admin.id, now=began + timedelta(hours=25))
    with pytest.raises(MfaRemovalOver):
        mfa_removal_consent(removal_id=again.id, staff_id=admin.id, now=began + timedelta(hours=25))


def test_the_database_takes_no_removal_by_one_person() -> None:
    user, support = _with_mfa(), make_user(roles=["support"])
    removal = _ask(user, support)

    with pytest.raises(IntegrityError), transaction.atomic():
        MfaRemoval.objects.filter(pk=removal.pk).update(consented_by=support, removed_at=timezone.now())
    with pytest.raises(IntegrityError), transaction.atomic():
        MfaRemoval.objects.filter(pk=removal.pk).update(consented_by=user, removed_at=timezone.now())


@pytest.mark.django_db(transaction=True)
def test_two_consents_at_once_remove_it_once() -> None:
    user, support = _with_mfa(), make_user(roles=["support"])
    removal = _ask(user, support)
    admins = [make_user(roles=["admin"]) for _ in range(4)]
    start = threading.Barrier(len(admins))

    def consent(admin: User) -> bool:
        start.wait()
        try:
            mfa_removal_consent(removal_id=removal.id, staff_id=admin.id, now=timezone.now())
        except MfaRemovalOver:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(len(admins)) as pool:
        assert sum(pool.map(consent, admins)) == 1
    assert StoredEvent.objects.filter(event_type="user.mfa.removed").count() == 1


@pytest.fixture
def _staff_site(settings: Any, _user_service: None) -> None:
    serve_staff_site(settings)
    settings.STAFF_MFA_REQUIRED = False  # has tests of its own


def _as(staff: User) -> Client:
    client = Client()
    client.force_login(staff)
    return client


@pytest.mark.usefixtures("_staff_site")
def test_staff_do_it_on_their_site() -> None:
    user, support, admin = _with_mfa(), make_user(roles=["support"]), make_user(roles=["admin"])
    form = {"email": user.email, "reason": "Showed a passport"}

    assert _as(support).post(f"{LIST}add/", form).status_code == 302
    removal = MfaRemoval.objects.get()
    assert (removal.user, removal.requested_by, removal.reason) == (user, support, "Showed a passport")
    consent = {"action": "consent", "_selected_action": [str(removal.id)], "reason": "seen in person"}
    _as(support).post(LIST, consent)
    assert mfa_is_enabled(user_id=user.id)
    answer = _as(admin).post(LIST, consent, follow=True)

    assert "the second factor is removed" in answer.content.decode()
    assert not mfa_is_enabled(user_id=user.id)


@pytest.mark.usefixtures("_staff_site")
def test_the_page_says_what_the_service_refuses() -> None:
    admin = make_user(roles=["admin"])

    answer = _as(admin).post(f"{LIST}add/", {"email": make_user().email, "reason": "x"})

    assert "has not been set up" in answer.content.decode()
    assert MfaRemoval.objects.count() == 0
    assert _as(make_user(roles=["auditor"])).get(f"{LIST}add/").status_code == 403


def test_switching_it_on_ends_every_other_session() -> None:
    user = make_user()
    mine, other = UserServiceClient(user), UserServiceClient(user)
    secret = mine.post("/api/v1/auth/mfa/setup", {"password": PASSWORD}).json()["secret"]

    assert mine.post("/api/v1/auth/mfa/confirm", {"otp": pyotp.TOTP(secret).now()}).status_code == 200

    assert [client.get("/api/v1/user/me").status_code for client in (mine, other)] == [200, 401]
    assert UserSession.objects.get(pk=other.session_id).revoked_reason == "mfa_enabled"
