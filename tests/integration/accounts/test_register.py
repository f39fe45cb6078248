"""Registration creates an account, and does not reveal whether an address has one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth import hashers
from django.db import connection
from django.utils.module_loading import import_string

from apps.accounts.models import OutgoingMail, User
from apps.core.models import IdempotencyRecord
from apps.events.models import OutboxRow, StoredEvent
from apps.events.store.selectors import stream_list
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

REGISTER = "/api/v1/auth/register"


def _body(**changes: Any) -> dict[str, Any]:
    return {"email": "ada@example.com", "password": PASSWORD, "name": "Ada", **changes}


def test_registering_opens_an_account_for_a_trader(api: UserServiceClient) -> None:
    answer = api.post(REGISTER, _body())

    assert answer.status_code == 201
    user = User.objects.get()
    assert answer.json() == {
        "id": str(user.id),
        "email": "ada@example.com",
        "name": "Ada",
        "time_zone": "UTC",
        "roles": ["trader"],
        "created_at": user.created_at.isoformat().replace("+00:00", "Z"),
    }
    assert user.check_password(PASSWORD)
    assert (user.roles, user.is_active, user.is_staff, user.email_verified_at) == (["trader"], True, False, None)


def test_the_account_is_announced_once_and_without_personal_data(api: UserServiceClient) -> None:
    api.post(REGISTER, _body(name="Lovelace"))

    user = User.objects.get()
    (event,) = stream_list(aggregate_type="user", aggregate_id=user.id)
    assert event.event_type == "user.created"
    assert event.payload == b'{"created_at":"%s","roles":["trader"],"user_id":"%s"}' % (
        user.created_at.isoformat().replace("+00:00", "Z").encode(),
        str(user.id).encode(),
    )
    assert OutboxRow.objects.get().destination == "user.events"


def test_the_announcement_commits_with_the_account_or_neither_does(api: UserServiceClient) -> None:
    with mock.patch("apps.accounts.services.registration.publish", side_effect=RuntimeError):
        answer = api.post(REGISTER, _body())

    assert answer.status_code == 500
    assert "RuntimeError" not in answer.content.decode()
    assert User.objects.count() == OutgoingMail.objects.count() == StoredEvent.objects.count() == 0


def test_an_address_that_is_taken_gets_the_same_answer(api: UserServiceClient) -> None:
    first = api.post(REGISTER, _body())
    second = api.post(REGISTER, _body(name="Eve", email="ADA@Example.com"))

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json().keys() == second.json().keys()
    assert first.headers.keys() == second.headers.keys()
    assert {**second.json(), "id": "", "created_at": ""} == {
        "id": "",
        "email": "ada@example.com",
        "name": "Eve",
        "time_zone": "UTC",
        "roles": ["trader"],
        "created_at": "",
    }


def test_an_address_that_is_taken_changes_nothing_but_a_mail_to_its_owner(api: UserServiceClient) -> None:
    owner = make_user(email="ada@example.com", name="Ada")
    before = owner.password

    api.post(REGISTER, _body(name="Eve", password="another long passphrase"))

    owner.refresh_from_db()
    assert (owner.name, owner.password) == ("Ada", before)
    assert User.objects.count() == 1
    assert StoredEvent.objects.count() == 0
    assert [(mail.kind, mail.email) for mail in OutgoingMail.objects.all()] == [("address_taken", "ada@example.com")]


def test_a_taken_address_costs_as_much_hashing_as_a_new_one(api: UserServiceClient) -> None:
    make_user(email="taken@example.com")
    made = []
    real = hashers.make_password

    def counting(*args: Any, **kwargs: Any) -> str:
        made.append(args)
        return real(*args, **kwargs)

    with mock.patch("apps.accounts.services.registration.make_password", side_effect=counting):
        api.post(REGISTER, _body(email="taken@example.com"))
        cost_of_taken = len(made)
        api.post(REGISTER, _body(email="new@example.com"))

    assert (cost_of_taken, len(made) - cost_of_taken) == (1, 1)


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("short", "at least 12 characters"),
        ("123456789012", "entirely numeric"),
        ("1qaz2wsx3edc", "too common"),
        ("ada@example.com", "too similar"),
    ],
)
def test_a_weak_password_is_refused_with_the_rule(api: UserServiceClient, password: str, rule: str) -> None:
    answer = api.post(REGISTER, _body(password=password))

    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "password_too_weak"
    assert rule in answer.json()["error"]["message"]
    assert User.objects.count() == 0


def test_a_weak_password_is_refused_alike_for_a_taken_address(api: UserServiceClient) -> None:
    make_user(email="taken@example.com")

    answers = [
        api.post(REGISTER, _body(email=email, password="short")) for email in ("taken@example.com", "a@b.example")
    ]

    first, second = ({**answer.json()["error"], "request_id": ""} for answer in answers)
    assert first == second


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "no address"},
        {"email": "a@b@c"},
        {"email": None},
        {"email": ["a@b.example"]},
        {"email": "x" * 250 + "@example.com"},
        {"email": "a\x00b@example.com"},
        {"password": ""},
        {"password": None},
        {"password": "x" * 257},
        {"name": "x" * 121},
        {"name": "Ada\nClick http://bad.example"},
        {"name": {"first": "Ada"}},
    ],
)
def test_a_malformed_field_is_a_400_that_names_it(api: UserServiceClient, changes: dict[str, Any]) -> None:
    answer = api.post(REGISTER, _body(**changes))

    assert answer.status_code == 400
    assert list(answer.json()["error"]["details"]["fields"]) == list(changes)
    assert User.objects.count() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"email": NaN}',
        b'{"email": "a@b.example", "password": "\\ud800"}',
    ],
)
def test_a_body_that_is_not_an_object_is_a_400(api: UserServiceClient, body: bytes) -> None:
    answer = api.generic("POST", REGISTER, body, content_type="application/json")  # type: ignore[arg-type]

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "malformed"


def test_a_password_is_not_trimmed(api: UserServiceClient) -> None:
    api.post(REGISTER, _body(password=f"  {PASSWORD}  "))

    assert User.objects.get().check_password(f"  {PASSWORD}  ")


def test_a_repeated_idempotency_key_gets_the_same_answer_and_registers_once(api: UserServiceClient) -> None:
    first = api.post(REGISTER, _body(), HTTP_IDEMPOTENCY_KEY="k" * 20)
    second = api.post(REGISTER, _body(), HTTP_IDEMPOTENCY_KEY="k" * 20)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert [mail.kind for mail in OutgoingMail.objects.all()] == ["verify_email"]


def test_an_idempotency_record_holds_no_password(api: UserServiceClient) -> None:
    api.post(REGISTER, _body(), HTTP_IDEMPOTENCY_KEY="k" * 20)

    assert PASSWORD not in str(IdempotencyRecord.objects.values().get())


@pytest.mark.django_db(transaction=True)
def test_of_many_requests_for_one_address_one_opens_the_account() -> None:
    at_once = 6
    start = threading.Barrier(at_once)

    def register(_: int) -> int:
        start.wait()
        try:
            return UserServiceClient().post(REGISTER, _body()).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(at_once) as pool:
        statuses = list(pool.map(register, range(at_once)))

    assert statuses == [201] * at_once
    assert User.objects.count() == 1
    assert StoredEvent.objects.filter(event_type="user.created").count() == 1


def test_passwords_are_hashed_with_argon2id_in_the_real_settings() -> None:
    from service_common.settings.accounts import account_settings

    (path,) = account_settings("staff")["PASSWORD_HASHERS"]
    with mock.patch.object(hashers, "get_hashers", return_value=[import_string(path)()]):
        assert hashers.make_password(PASSWORD).startswith("argon2$argon2id$v=19$m=47104,t=2,p=1$")
