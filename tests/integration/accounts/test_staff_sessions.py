"""The staff site asks for a second factor, and its sessions end."""

import json
from datetime import datetime, timedelta
from typing import Any

import pyotp
import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts import staff_access, staff_sessions
from apps.accounts.models import MfaDevice, User, UserSession
from apps.accounts.services.log_in_reports import reports_publish
from apps.accounts.services.mfa import mfa_confirm, mfa_set_up
from apps.events.models import StoredEvent
from staff_site import settings as staff_settings
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user
from tests.support.staff_site import serve_staff_site

pytestmark = pytest.mark.django_db

SITE, TWO_FACTOR = "/admin/", "/admin/two-factor/"


@pytest.fixture(autouse=True)
def _staff_site(settings: Any, _user_service: None) -> None:
    serve_staff_site(settings)
    settings.STAFF_MFA_REQUIRED = True


@pytest.fixture
def operator() -> User:
    return make_user(roles=["operator"])


def _log_in(user: User, otp: str = "") -> Client:
    client = Client()
    client.post("/admin/login/", {"username": user.email, "password": PASSWORD, "otp": otp, "next": SITE})
    return client


def _events(*types: str) -> list[tuple[str, Any, Any]]:
    """Type, payload and actor of each."""
    rows = StoredEvent.objects.filter(event_type__in=types).order_by("recorded_at", "aggregate_seq")
    return [(row.event_type, json.loads(bytes(row.payload)), json.loads(row.actor)) for row in rows]


def _with_authenticator(user: User) -> list[str]:
    """Recovery codes."""
    setup = mfa_set_up(user_id=user.id, password=PASSWORD, now=timezone.now())
    return mfa_confirm(user_id=user.id, otp=pyotp.TOTP(setup.secret).now(), now=timezone.now())


def test_without_a_second_factor_every_page_leads_to_its_set_up(operator: User) -> None:
    client = _log_in(operator)

    for path in (SITE, "/admin/accounts/user/", f"/admin/accounts/user/{operator.id}/change/"):
        answer = client.get(path)
        assert (answer.status_code, answer["Location"]) == (302, TWO_FACTOR)
    assert client.post("/admin/accounts/user/", {"action": "end_sessions"}).status_code == 302


def test_the_set_up_opens_the_site(operator: User) -> None:
    client = _log_in(operator)
    assert "password" in client.get(TWO_FACTOR).content.decode()

    wrong = client.post(TWO_FACTOR, {"password": "not it"}).content.decode()
    begun = client.post(TWO_FACTOR, {"password": PASSWORD})
    secret = begun.context["secret"]
    refused = client.post(TWO_FACTOR, {"otp": "000000"}).content.decode()
    assert client.get(SITE).status_code == 302
    done = client.post(TWO_FACTOR, {"otp": pyotp.TOTP(secret).now()})

    assert "The current password is not right." in wrong
    assert "The one-time password is not right" in refused
    assert "no-store" in begun["Cache-Control"]
    assert "<svg" in begun.content.decode()
    assert len(done.context["codes"]) == 10
    assert MfaDevice.objects.get(user=operator).confirmed_at is not None
    assert client.get(SITE).status_code == 200
    assert client.get(TWO_FACTOR)["Location"] == SITE


def test_a_log_in_with_the_code_opens_the_site(operator: User) -> None:
    code = _with_authenticator(operator)[0]

    assert _log_in(operator).get(SITE).status_code == 302
    assert _log_in(operator, code).get(SITE).status_code == 200


def test_a_set_up_elsewhere_does_not_complete_a_session_that_began_without(operator: User) -> None:
    client = _log_in(operator)
    _with_authenticator(operator)

    answer = client.get(TWO_FACTOR)

    assert answer["Location"] == "/admin/login/"
    assert client.get(SITE)["Location"].startswith("/admin/login/")


def _later(monkeypatch: pytest.MonkeyPatch, after: timedelta) -> None:
    moment = timezone.now() + after

    class Later:
        @staticmethod
        def now() -> datetime:
            return moment

    monkeypatch.setattr(staff_sessions, "timezone", Later)


def test_a_session_ends_after_half_an_hour_without_a_request(operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = _log_in(operator, _with_authenticator(operator)[0])
    _later(monkeypatch, timedelta(minutes=29))
    assert client.get(SITE).status_code == 200
    _later(monkeypatch, timedelta(minutes=58))
    assert client.get(SITE).status_code == 200

    _later(monkeypatch, timedelta(minutes=89))

    assert client.get(SITE)["Location"].startswith("/admin/login/")


def test_a_session_in_use_ends_after_eight_hours(operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = _log_in(operator, _with_authenticator(operator)[0])
    for minutes in range(20, 480, 20):
        _later(monkeypatch, timedelta(minutes=minutes))
        assert client.get(SITE).status_code == 200

    _later(monkeypatch, timedelta(minutes=480))

    assert client.get(SITE)["Location"].startswith("/admin/login/")
    assert vars(staff_settings)["SESSION_COOKIE_AGE"] == 8 * 3600


@pytest.mark.parametrize(
    ("role", "flower", "documents"), [("operator", 204, 204), ("admin", 204, 204), ("auditor", 403, 204)]
)
def test_what_the_gateway_hears_of_staff(role: str, flower: int, documents: int) -> None:
    user = make_user(roles=[role])
    client = _log_in(user, _with_authenticator(user)[0])

    assert client.get("/admin/authorize/flower").status_code == flower
    assert client.get("/admin/authorize/documents").status_code == documents
    assert client.get("/admin/authorize/anything").status_code == 403


def test_what_the_gateway_hears_of_others(operator: User) -> None:
    for client in (Client(), _log_in(operator), Client(headers={"Authorization": "Bearer nonsense"})):
        assert client.get("/admin/authorize/flower").status_code == 401
        assert client.get("/admin/authorize/documents").status_code == 401


def test_a_token_opens_the_documents_and_nothing_else() -> None:
    trader = UserServiceClient(user := make_user())
    access = trader.log_in(user).access
    client = Client(headers={"Authorization": f"Bearer {access}"})

    assert client.get("/admin/authorize/documents").status_code == 204
    assert client.get("/admin/authorize/flower").status_code == 401


def test_being_asked_about_is_no_sign_of_a_person(operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = _log_in(operator, _with_authenticator(operator)[0])
    _later(monkeypatch, timedelta(minutes=20))
    assert client.get("/admin/authorize/flower").status_code == 204

    _later(monkeypatch, timedelta(minutes=31))

    assert client.get("/admin/authorize/flower").status_code == 401


def test_every_area_is_known() -> None:
    assert set(staff_access.AREAS) == {"flower", "documents"}


def test_log_in_and_log_out_are_events_with_the_session_that_actions_carry(operator: User) -> None:
    client = _log_in(operator, _with_authenticator(operator)[0])
    session_id, cookie = client.session["session_id"], client.cookies["sessionid"].value
    assert client.post("/admin/logout/").status_code == 200

    (_, begun, began_by), (_, ended, ended_by) = _events("staff.logged_in", "staff.logged_out")
    assert begun == {"user_id": str(operator.id), "session_id": session_id, "has_second_factor": True}
    assert ended == {"user_id": str(operator.id), "session_id": session_id, "reason": "logged_out"}
    for actor in (began_by, ended_by):
        assert (actor["kind"], actor["id"], actor["session"]) == ("staff", str(operator.id), session_id)
    assert cookie not in str(_events("staff.logged_in"))


def test_a_session_that_expires_is_logged_out_once(operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = _log_in(operator, _with_authenticator(operator)[0])
    _later(monkeypatch, timedelta(hours=1))
    client.get(SITE)
    client.get(SITE)

    assert [payload["reason"] for _, payload, _ in _events("staff.logged_out")] == ["expired"]


def test_a_failed_log_in_of_staff_and_a_trader_at_the_staff_site_are_events(operator: User) -> None:
    trader = make_user()
    _log_in(trader)
    Client().post("/admin/login/", {"username": operator.email, "password": "not it", "next": SITE})
    reports_publish(now=timezone.now())

    failed = {payload["user_id"]: payload for _, payload, _ in _events("user.log_in_failed")}
    assert {each["door"] for each in failed.values()} == {"staff_site"}
    assert failed[str(trader.id)]["reason"] == "not_staff"
    assert failed[str(operator.id)]["reason"] == "password"


def test_the_set_up_on_the_staff_site_ends_the_sessions_of_the_api(operator: User) -> None:
    elsewhere = UserServiceClient(operator)
    client = _log_in(operator)
    secret = client.post(TWO_FACTOR, {"password": PASSWORD}).context["secret"]
    client.post(TWO_FACTOR, {"otp": pyotp.TOTP(secret).now()})

    assert UserSession.objects.get(pk=elsewhere.session_id).revoked_reason == "mfa_enabled"
    assert client.get(SITE).status_code == 200
