"""The user's own account: profile, password, activity."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import LockoutCounter, OutgoingMail, User
from apps.accounts.services.lockout import LIMITS
from apps.core.models import IdempotencyRecord
from apps.events.models import StoredEvent
from apps.events.store.publish import publish
from apps.messages.kraken import KrakenKeyConnected
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

ME = "/api/v1/user/me"
CHANGE = f"{ME}/password"
ACTIVITY = f"{ME}/activity"
NEW_PASSWORD = "a wholly different sentence"


@pytest.fixture
def user() -> User:
    return make_user(name="Ada", time_zone="UTC")


@pytest.fixture
def mine(user: User) -> UserServiceClient:
    return UserServiceClient(user)


def _changes_announced() -> list[bytes]:
    return [bytes(event.payload) for event in StoredEvent.objects.filter(event_type="user.updated")]


def test_the_account_is_shown_without_its_hash(mine: UserServiceClient, user: User) -> None:
    body = mine.get(ME).json()

    assert body.keys() == {
        "id",
        "email",
        "email_verified_at",
        "name",
        "time_zone",
        "roles",
        "created_at",
        "email_change",
    }
    assert (body["id"], body["email"], body["roles"]) == (str(user.id), user.email, ["trader"])


def test_the_account_is_read_in_one_statement(mine: UserServiceClient, user: User) -> None:
    mine.get(ME)  # what a process learns once

    with CaptureQueriesContext(connection) as asked:
        assert mine.get(ME).json()["email_change"] is None

    assert len(asked) == 1, asked.captured_queries


def test_name_and_time_zone_are_changed_and_announced_by_name_alone(mine: UserServiceClient, user: User) -> None:
    answer = mine.patch(ME, {"name": "Ada Lovelace", "time_zone": "Europe/London"})

    assert (answer.status_code, answer.json()["time_zone"]) == (200, "Europe/London")
    user.refresh_from_db()
    assert (user.name, user.time_zone) == ("Ada Lovelace", "Europe/London")
    assert _changes_announced() == [b'{"changed":["name","time_zone"],"user_id":"%s"}' % str(user.id).encode()]


def test_what_stays_as_it_is_is_not_announced(mine: UserServiceClient) -> None:
    assert mine.patch(ME, {"name": "Ada"}).status_code == 200
    assert mine.patch(ME, {}).status_code == 200

    assert _changes_announced() == []


@pytest.mark.parametrize(
    "changes",
    [{"time_zone": "Mars/Olympus"}, {"time_zone": "../../etc/passwd"}, {"name": None}, {"name": "a\u2028b"}],
)
def test_a_malformed_change_changes_nothing(mine: UserServiceClient, user: User, changes: dict[str, Any]) -> None:
    assert mine.patch(ME, changes).status_code == 400

    user.refresh_from_db()
    assert (user.name, user.time_zone) == ("Ada", "UTC")


SHOWN = 422, "field_is_immutable"
NOT_SHOWN = 400, "unknown_field"


@pytest.mark.parametrize(
    ("field", "refusal"),
    [
        *((field, SHOWN) for field in ("roles", "email", "email_verified_at", "id", "created_at", "password")),
        *((field, NOT_SHOWN) for field in ("is_active", "is_staff")),
    ],
)
def test_nobody_gives_themselves_more(
    mine: UserServiceClient, user: User, field: str, refusal: tuple[int, str]
) -> None:
    before = User.objects.values().get()

    response = mine.patch(ME, {field: ["admin"] if field == "roles" else "x"})

    assert (response.status_code, response.json()["error"]["code"]) == refusal
    assert User.objects.values().get() == before


def test_an_address_that_cannot_be_changed_here_is_not_taken_for_changed(mine: UserServiceClient) -> None:
    error = mine.patch(ME, {"email": "new@example.com"}).json()["error"]

    assert error["message"] == "The field email cannot be changed by this call. Leave it out."
    assert _changes_announced() == []


def test_the_password_is_changed_with_the_old_one(mine: UserServiceClient, user: User) -> None:
    assert mine.post(CHANGE, {"current_password": PASSWORD, "new_password": NEW_PASSWORD}).status_code == 204

    user.refresh_from_db()
    assert user.check_password(NEW_PASSWORD)
    assert _changes_announced() == [b'{"changed":["password"],"user_id":"%s"}' % str(user.id).encode()]
    assert [mail.kind for mail in OutgoingMail.objects.all()] == ["password_changed"]


def test_changing_the_password_ends_the_other_sessions_and_not_this_one(mine: UserServiceClient, user: User) -> None:
    other, stranger = UserServiceClient(user), UserServiceClient(make_user())

    mine.post(CHANGE, {"current_password": PASSWORD, "new_password": NEW_PASSWORD})

    assert [client.get(ME).status_code for client in (mine, other, stranger)] == [200, 401, 200]


def test_a_wrong_or_weak_password_changes_nothing(mine: UserServiceClient, user: User) -> None:
    wrong = mine.post(CHANGE, {"current_password": "wrong", "new_password": NEW_PASSWORD})
    weak = mine.post(CHANGE, {"current_password": PASSWORD, "new_password": "short"})

    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "password_wrong")
    assert (weak.status_code, weak.json()["error"]["code"]) == (422, "password_too_weak")
    user.refresh_from_db()
    assert user.check_password(PASSWORD)
    assert _changes_announced() == []


@pytest.mark.parametrize("headers", [{}, {"HTTP_IDEMPOTENCY_KEY": "guess"}])
def test_a_stolen_token_does_not_allow_guessing_the_password(mine: UserServiceClient, user: User, headers: Any) -> None:
    body = {"current_password": "wrong", "new_password": NEW_PASSWORD}
    limit = LIMITS[LockoutCounter.Kind.PASSWORD].attempts

    statuses = [mine.post(CHANGE, body, **headers).status_code for _ in range(limit + 1)]
    body["current_password"] = PASSWORD
    right = mine.post(CHANGE, body)

    assert statuses == [422] * limit + [429]
    assert right.status_code == 429
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_the_same_key_changes_the_password_once_and_keeps_neither(mine: UserServiceClient) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}

    assert [mine.post(CHANGE, body, HTTP_IDEMPOTENCY_KEY="once").status_code for _ in range(2)] == [204, 204]

    assert len(_changes_announced()) == 1
    record = str(IdempotencyRecord.objects.values().get())
    assert PASSWORD not in record
    assert NEW_PASSWORD not in record


def test_activity_is_ones_own_log_newest_first(mine: UserServiceClient, user: User) -> None:
    mine.patch(ME, {"name": "Ada L."})
    credential_id = uuid4()
    with transaction.atomic():
        for owner in (user.id, uuid4()):
            publish(
                KrakenKeyConnected(credential_id=credential_id, user_id=owner, mode="paper", permissions=("trade",)),
                now=timezone.now(),
            )

    rows = mine.get(ACTIVITY).json()["results"]

    assert [(row["type"], row["aggregate_type"], row["aggregate_id"]) for row in rows] == [
        ("kraken.key.connected", "credential", str(credential_id)),
        ("user.updated", "user", str(user.id)),
    ]
    assert rows[1]["payload"] == {"changed": ["name"], "user_id": str(user.id)}


def test_activity_is_paged_without_a_gap_or_a_repeat(mine: UserServiceClient, user: User) -> None:
    for number in range(7):
        mine.patch(ME, {"name": f"Ada {number}"})

    seen: list[str] = []
    page = mine.get(ACTIVITY, {"limit": 3}).json()
    while page:
        seen += [row["id"] for row in page["results"]]
        page = mine.get(page["next"]).json() if page["next"] else None

    stored = StoredEvent.objects.filter(user_id=user.id).order_by("-recorded_at")
    assert seen == [str(event.event_id) for event in stored]
    assert len(seen) == 7


def test_one_request_is_one_chain_in_the_log(mine: UserServiceClient) -> None:
    request_id = uuid4()
    mine.patch(ME, {"name": "Ada L."}, HTTP_X_REQUEST_ID=request_id.hex)

    assert mine.get(ACTIVITY).json()["results"][0]["correlation_id"] == str(request_id)
