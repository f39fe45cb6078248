"""A user's activity: what happened, when, from which session, address and device; erased records read as erased."""

from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.services.log_in_reports import reports_publish
from apps.events.models import ClientRecord
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

ME, LOG_IN = "/api/v1/user/me", "/api/v1/auth/login"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"


def entries(client: UserServiceClient, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"{ME}/activity", query).json()["results"]
    return found


def test_an_entry_says_what_when_and_from_where() -> None:
    mine = UserServiceClient(make_user())
    assert mine.patch(ME, {"name": "Ada"}, headers={"user-agent": FIREFOX}).status_code == 200

    (entry,) = entries(mine)
    assert (entry["type"], entry["actor"], entry["client"]) == ("user.updated", "user", "known")
    assert (entry["address"], entry["device"]) == (mine.address, "Firefox on Linux")
    assert (entry["session_id"], entry["machine_key_id"]) == (str(mine.session_id), None)
    assert entry["occurred_at"].endswith("Z")


def test_a_log_in_has_its_session_and_somebody_s_failure_has_none() -> None:
    user = make_user()
    mine, stranger = UserServiceClient(user), UserServiceClient()
    stranger.post(LOG_IN, {"email": user.email, "password": "not it"}, headers={"user-agent": "curl/8.5"})
    reports_publish(now=timezone.now())
    mine.post(LOG_IN, {"email": user.email, "password": PASSWORD})

    logged_in, failed = entries(mine)
    assert (logged_in["type"], logged_in["session_id"] is not None) == ("user.logged_in", True)
    assert (failed["type"], failed["actor"], failed["session_id"]) == ("user.log_in_failed", "anonymous", None)
    assert (failed["address"], failed["device"]) == (stranger.address, "curl")


def test_what_has_been_erased_reads_as_erased() -> None:
    mine = UserServiceClient(make_user())
    mine.patch(ME, {"name": "Ada"})
    ClientRecord.objects.all().delete()

    (entry,) = entries(mine)
    assert (entry["client"], entry["address"], entry["device"]) == ("erased", None, None)


def test_what_staff_and_processes_do_has_no_address() -> None:
    user = make_user()
    support = UserServiceClient(make_user(roles=["support"]))
    assert support.patch(f"/api/v1/user/{user.id}", {"name": "Eve"}).status_code == 200
    publish_alone(user.id)

    by_process, by_staff = entries(UserServiceClient(user))
    assert (by_process["actor"], by_process["client"], by_process["address"]) == ("service", "none", None)
    assert (by_staff["actor"], by_staff["client"], by_staff["address"], by_staff["session_id"]) == (
        "staff",
        "withheld",
        None,
        None,
    )
    assert support.address not in str([by_process, by_staff])


def test_it_is_paged() -> None:
    mine = UserServiceClient(make_user())
    for name in ("Ada", "Bea", "Eve"):
        mine.patch(ME, {"name": name})

    first = mine.get(f"{ME}/activity", {"limit": 2}).json()
    second = mine.get(first["next"].partition("testserver")[2] or first["next"]).json()
    assert (len(first["results"]), len(second["results"])) == (2, 1)


def publish_alone(user_id: Any) -> None:
    publish(UserUpdated(user_id=user_id, changed=("name",)), now=timezone.now())
