"""Staff manage accounts within the limits of their role."""

from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from apps.accounts.models import User, UserSession
from apps.events.models import StoredEvent
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

USERS = "/api/v1/user"
ME = "/api/v1/user/me"


def _as(*roles: str) -> UserServiceClient:
    return UserServiceClient(make_user(roles=sorted(roles)))


@pytest.mark.parametrize("role", ["trader", "auditor", "operator"])
def test_only_admin_and_support_see_other_accounts(role: str) -> None:
    other = make_user()
    client = _as(role)

    answers = [client.get(USERS), client.get(f"{USERS}/{other.id}"), client.patch(f"{USERS}/{other.id}", {"name": "x"})]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert answers[0].json()["error"]["message"] == "This needs the role admin or support."
    other.refresh_from_db()
    assert other.name != "x"


@pytest.mark.parametrize("role", ["admin", "support"])
def test_staff_find_accounts(role: str) -> None:
    ada = make_user(email="ada@lovelace.example")
    make_user(is_active=False)
    client = _as(role)

    def found(**query: str) -> list[str]:
        return [row["email"] for row in client.get(USERS, query).json()["results"]]

    assert found(email="LOVELACE") == ["ada@lovelace.example"]
    assert len(found(is_active="false")) == 1
    assert len(found(role=role)) == 1
    assert len(found()) == 3
    row = client.get(f"{USERS}/{ada.id}").json()
    assert row.keys() == {
        "id", "email", "email_verified_at", "name", "time_zone", "roles", "created_at", "is_active", "last_login",
    }  # fmt: skip


@pytest.mark.parametrize("query", [{"role": "king"}, {"is_active": "perhaps"}, {"cursor": "%%%"}, {"limit": "x"}])
def test_a_malformed_filter_is_no_500(query: dict[str, str]) -> None:
    assert _as("admin").get(USERS, query).status_code in (200, 400, 404)


def test_an_account_that_is_not_there_is_a_404() -> None:
    client = _as("admin")

    assert client.get(f"{USERS}/{uuid4()}").status_code == 404
    assert client.patch(f"{USERS}/{uuid4()}", {"name": "x"}).status_code == 404


def test_an_admin_changes_roles_which_ends_the_sessions_and_is_announced() -> None:
    user = make_user()
    theirs = UserServiceClient(user)

    answer = _as("admin").patch(f"{USERS}/{user.id}", {"roles": ["trader", "auditor", "trader"]})

    assert (answer.status_code, answer.json()["roles"]) == (200, ["auditor", "trader"])
    assert theirs.get(ME).status_code == 401
    assert UserSession.objects.get(user=user).revoked_reason == "access_changed"
    (event,) = StoredEvent.objects.filter(event_type="user.updated")
    assert (event.aggregate_id, b'"changed":["roles"]' in bytes(event.payload)) == (user.id, True)


def test_an_admin_disables_an_account_at_once() -> None:
    user = make_user()
    theirs = UserServiceClient(user)

    assert _as("admin").patch(f"{USERS}/{user.id}", {"is_active": False}).status_code == 200

    assert theirs.get(ME).status_code == 401
    login = UserServiceClient().post("/api/v1/auth/login", {"email": user.email, "password": PASSWORD})
    assert (login.status_code, login.json()["error"]["code"]) == (401, "invalid_credentials")


def test_a_changed_name_ends_no_session() -> None:
    user = make_user()
    theirs = UserServiceClient(user)

    assert _as("support").patch(f"{USERS}/{user.id}", {"name": "Ada", "time_zone": "Europe/Rome"}).status_code == 200
    assert theirs.get(ME).json()["name"] == "Ada"


@pytest.mark.parametrize("changes", [{"roles": ["admin"]}, {"is_active": False}])
def test_support_gives_and_takes_no_access(changes: dict[str, Any]) -> None:
    user = make_user()

    answer = _as("support").patch(f"{USERS}/{user.id}", changes)

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "role_not_sufficient")
    user.refresh_from_db()
    assert (user.roles, user.is_active) == (["trader"], True)


def test_support_does_not_touch_staff() -> None:
    admin = make_user(roles=["admin"], name="Grace")

    assert _as("support").patch(f"{USERS}/{admin.id}", {"name": "x"}).status_code == 403
    admin.refresh_from_db()
    assert admin.name == "Grace"


@pytest.mark.parametrize("changes", [{"roles": ["trader"]}, {"is_active": False}])
def test_an_admin_cannot_lock_themselves_out(changes: dict[str, Any]) -> None:
    admin = make_user(roles=["admin"])
    client = UserServiceClient(admin)

    answer = client.patch(f"{USERS}/{admin.id}", changes)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_on_yourself")
    admin.refresh_from_db()
    assert (admin.roles, admin.is_active) == (["admin"], True)
    assert client.get(ME).status_code == 200


@pytest.mark.parametrize("roles", [["king"], "admin", [1], None, [""]])
def test_a_role_that_is_not_one_is_a_400(roles: Any) -> None:
    user = make_user()

    assert _as("admin").patch(f"{USERS}/{user.id}", {"roles": roles}).status_code == 400


def test_the_database_knows_no_other_roles_and_no_capital_addresses() -> None:
    user = make_user()
    for change in ({"roles": ["king"]}, {"email": "Ada@example.com"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.filter(pk=user.pk).update(**change)


def test_create_staff_opens_an_account_that_may_log_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STAFF_PASSWORD", PASSWORD)

    call_command("create_staff", "--email", "Grace@Example.com", "--role", "admin", "--name", "Grace")

    user = User.objects.get()
    assert (user.email, user.name, user.roles, user.is_staff) == ("grace@example.com", "Grace", ["admin"], True)
    assert user.check_password(PASSWORD)
    assert [event.event_type for event in StoredEvent.objects.all()] == ["user.created"]
    output = capsys.readouterr().out
    assert output == "grace@example.com is new, with admin.\n"


def test_create_staff_twice_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFF_PASSWORD", PASSWORD)
    call_command("create_staff", "--email", "grace@example.com", "--role", "support")
    before = User.objects.values().get()

    call_command("create_staff", "--email", "grace@example.com", "--role", "support")

    assert User.objects.values().get() == before
    assert StoredEvent.objects.count() == 1


def test_create_staff_gives_an_existing_account_the_role_and_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    user = make_user(email="ada@example.com")
    client = UserServiceClient(user)
    monkeypatch.setenv("STAFF_PASSWORD", "a wholly different sentence")

    call_command("create_staff", "--email", "ada@example.com", "--role", "auditor")

    user.refresh_from_db()
    assert user.roles == ["auditor", "trader"]
    assert user.check_password("a wholly different sentence")
    assert client.get(ME).status_code == 401


@pytest.mark.parametrize(
    ("password", "email", "sentence"),
    [
        ("short", "grace@example.com", "at least 12 characters"),
        (PASSWORD, "grace", "not a valid e-mail address"),
        ("", "grace@example.com", "Set STAFF_PASSWORD"),
    ],
)
def test_create_staff_refuses_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, password: str, email: str, sentence: str
) -> None:
    monkeypatch.setenv("STAFF_PASSWORD", password)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    with pytest.raises(CommandError, match=sentence):
        call_command("create_staff", "--email", email, "--role", "admin")
    assert User.objects.count() == 0
