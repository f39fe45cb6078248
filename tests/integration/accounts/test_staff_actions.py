"""Everything that staff change on the staff site is an event, with session and reason; Django's own log stays."""

import json
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, RequestFactory
from django.utils import timezone

from apps.accounts.models import User, UserSession
from apps.accounts.services.log_in_reports import reports_publish
from apps.accounts.services.mfa import mfa_is_enabled
from apps.core import staff_actions
from apps.core.models import MachineKey, MachineKeyUse
from apps.core.staff_actions import RecordsActions, StaffAction, staff_action_record
from apps.events.models import StoredEvent
from apps.risk.models import LiveSwitch
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user
from tests.integration.access.callers import script_of
from tests.support.staff_site import serve_staff_site

pytestmark = pytest.mark.django_db

USERS, KEYS, SWITCH = "/admin/accounts/user/", "/admin/core/machinekey/", "/admin/risk/liveswitch/"


@pytest.fixture(autouse=True)
def _staff_site(settings: Any, _user_service: None) -> None:
    serve_staff_site(settings)


def staff(*roles: str) -> tuple[User, Client]:
    user, client = make_user(roles=list(roles)), Client()
    client.force_login(user)
    return user, client


def acts() -> list[tuple[dict[str, Any], dict[str, str]]]:
    """Payload and actor of each."""
    rows = StoredEvent.objects.filter(event_type="staff.acted").order_by("recorded_at")
    return [(json.loads(bytes(row.payload)), json.loads(row.actor)) for row in rows]


def test_a_change_is_an_event_with_the_names_of_its_fields_and_the_session() -> None:
    (who, client), user = staff("admin"), make_user()
    fields = {"name": "Ada", "time_zone": user.time_zone, "roles": user.roles, "is_active": "on",
              "because": "asked by phone"}  # fmt: skip
    assert client.post(f"{USERS}{user.id}/change/", fields).status_code == 302

    ((payload, actor),) = acts()
    assert payload == {
        "user_id": str(who.id),
        "page": "accounts.user",
        "action": "change",
        "objects": [str(user.id)],
        "count": 1,
        "changed": ["name"],
        "reason": "asked by phone",
    }
    assert (actor["kind"], actor["id"], actor["session"]) == ("staff", str(who.id), client.session["session_id"])
    changed = StoredEvent.objects.get(event_type="user.updated")
    assert json.loads(changed.actor)["session"] == client.session["session_id"]


def test_an_action_is_an_event_with_what_was_selected_and_why() -> None:
    (_, client), users = staff("support"), [make_user(), make_user()]
    theirs = UserServiceClient(users[0])
    selected = {"_selected_action": [str(user.id) for user in users], "reason": "asked by phone"}
    client.post(USERS, {"action": "end_sessions", **selected})

    ((payload, _),) = acts()
    assert (payload["action"], payload["count"], payload["reason"]) == ("end_sessions", 2, "asked by phone")
    assert set(payload["objects"]) == {str(user.id) for user in users}
    assert UserSession.objects.get(pk=theirs.session_id).revoked_at is not None


def test_a_form_s_reason_is_in_the_event() -> None:
    _, client = staff("operator")
    client.get(SWITCH)
    switch = LiveSwitch.objects.get()
    client.post(f"{SWITCH}{switch.pk}/change/", {"is_on": "on", "because": "the drill is over"})

    assert [(payload["page"], payload["reason"]) for payload, _ in acts()] == [("risk.liveswitch", "the drill is over")]


def test_what_is_refused_is_no_event() -> None:
    (_, client), user = staff("auditor"), make_user()
    client.post(f"{USERS}{user.id}/change/", {"name": "x"})
    client.post(USERS, {"action": "end_sessions", "_selected_action": [str(user.id)]})
    _, support = staff("support")
    support.post(USERS, {"action": "end_sessions"})
    assert acts() == []


def test_the_log_of_the_site_names_ids_and_is_read_only() -> None:
    (_, client), user = staff("admin"), make_user()
    fields = {"name": "Ada", "time_zone": user.time_zone, "roles": user.roles, "is_active": "on",
              "because": "asked by phone"}  # fmt: skip
    client.post(f"{USERS}{user.id}/change/", fields)

    entry = LogEntry.objects.get()
    assert entry.object_repr == entry.object_id == str(user.id)
    page = client.get("/admin/admin/logentry/").content.decode()
    assert str(user.id) in page
    for path in ("add/", f"{entry.pk}/delete/"):
        assert client.get(f"/admin/admin/logentry/{path}").status_code == 403
    assert client.post(f"/admin/admin/logentry/{entry.pk}/change/", {"object_repr": "x"}).status_code == 403


def test_every_page_records_what_it_changes() -> None:
    assert [model for model, page in admin.site._registry.items() if not isinstance(page, RecordsActions)] == []


def test_without_a_recorder_nothing_can_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staff_actions, "_recorder", None)
    with pytest.raises(ImproperlyConfigured):
        staff_action_record(RequestFactory().post("/"), StaffAction("a.b", "change", ("1",), 1))


def test_staff_change_their_password_by_the_service() -> None:
    user, client = staff("support")
    elsewhere = UserServiceClient(user)
    twice = dict.fromkeys(("new_password1", "new_password2"), "a wholly different sentence")
    answer = client.post("/admin/password_change/", {"old_password": "not it", **twice})
    assert answer.status_code == 200
    answer = client.post("/admin/password_change/", {"old_password": PASSWORD, **twice})
    assert answer.status_code == 302

    reports_publish(now=timezone.now())
    types = set(StoredEvent.objects.filter(user_id=user.id).values_list("event_type", flat=True))
    assert {"user.password_changed", "user.session_ended", "user.log_in_failed"} <= types
    assert UserSession.objects.get(pk=elsewhere.session_id).revoked_reason == "password_changed"
    assert client.get("/admin/").status_code == 200
    assert not mfa_is_enabled(user_id=user.id)


def test_support_sees_machine_keys_and_revokes_them_for_a_reason() -> None:
    script_of("trade:paper")
    key = MachineKey.objects.get()
    now = timezone.now()
    MachineKeyUse.objects.create(key_id=key.id, network="192.0.2.7", first_used_at=now, last_used_at=now)
    owner = User.objects.get(pk=key.user_id)
    _, client = staff("support")

    page = client.get(KEYS).content.decode()
    detail = client.get(f"{KEYS}{key.id}/change/").content.decode()
    for text in (page, detail):
        assert all(part in text for part in (key.name, owner.email, "trade:paper", "everywhere"))
        assert bytes(key.digest).hex() not in text
        assert "digest" not in text

    client.post(KEYS, {"action": "revoke", "_selected_action": [str(key.id)]})
    assert acts() == []
    client.post(KEYS, {"action": "revoke", "_selected_action": [str(key.id)], "reason": "found in a public repository"})
    key.refresh_from_db()
    assert (key.revoked_reason, key.revoked_at is not None) == ("revoked_by_staff", True)
    assert [(payload["action"], payload["reason"]) for payload, _ in acts()] == [
        ("revoke", "found in a public repository")
    ]
    assert StoredEvent.objects.filter(event_type="user.api_key.revoked", user_id=owner.id).count() == 1


@pytest.mark.parametrize("role", ["auditor", "operator"])
def test_others_of_staff_see_machine_keys_and_revoke_none(role: str) -> None:
    script_of("read")
    key = MachineKey.objects.get()
    _, client = staff(role)

    assert client.get(KEYS).status_code == 200
    client.post(KEYS, {"action": "revoke", "_selected_action": [str(key.id)], "reason": "x"})
    key.refresh_from_db()
    assert key.revoked_at is None
