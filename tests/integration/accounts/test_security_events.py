"""Proofs of identity, good and bad, are events; what a stranger tries is bounded and says nothing about accounts."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pyotp
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import LockoutCounter, LogInReport, User
from apps.accounts.services.lockout import LIMITS, step_up_count_attempt
from apps.accounts.services.log_in_reports import MOST_EVENTS, reports_publish
from apps.accounts.tokens import digest_of
from apps.events.models import ClientRecord, StoredEvent
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

LOG_IN, STEP_UP, LOG_OUT = "/api/v1/auth/login", "/api/v1/auth/step-up", "/api/v1/auth/logout"
PAIR_LIMIT = LIMITS[LockoutCounter.Kind.PAIR].attempts


def events(*types: str) -> list[tuple[str, dict[str, Any]]]:
    """The payloads of all events, or of those types, in order."""
    rows = StoredEvent.objects.order_by("recorded_at", "aggregate_seq")
    found = rows.filter(event_type__in=types) if types else rows
    return [(row.event_type, json.loads(bytes(row.payload))) for row in found]


def fail(email: str, times: int = 1, client: UserServiceClient | None = None, **headers: str) -> None:
    client = client or UserServiceClient()
    for _ in range(times):
        client.post(LOG_IN, {"email": email, "password": "not it"}, headers=headers)


def with_authenticator(client: UserServiceClient) -> tuple[pyotp.TOTP, list[str]]:
    """The authenticator, one step of time ahead of what it used, and the recovery codes."""
    secret = client.post("/api/v1/auth/mfa/setup", {"password": PASSWORD}).json()["secret"]
    totp = pyotp.TOTP(secret)
    before = timezone.now() - timedelta(seconds=30)
    codes = client.post("/api/v1/auth/mfa/confirm", {"otp": totp.at(before)}).json()["recovery_codes"]
    return totp, codes


def test_failures_at_an_account_are_one_event_with_their_number_and_client() -> None:
    user = make_user()
    fail(user.email, times=3, client=(client := UserServiceClient()), **{"user-agent": "Firefox"})

    assert events() == []
    reports_publish(now=timezone.now())

    ((kind, payload),) = events()
    assert (kind, payload["user_id"], payload["door"]) == ("user.log_in_failed", str(user.id), "api")
    assert (payload["reason"], payload["attempts"]) == ("password", 3)
    record = ClientRecord.objects.get()
    assert (record.address, record.user_agent, record.user_id) == (client.address, "Firefox", user.id)
    assert json.loads(StoredEvent.objects.get().actor) == {"kind": "anonymous", "client": bytes(record.digest).hex()}
    assert not LogInReport.objects.exists()
    assert "not it" not in str(events())


def test_what_was_published_is_not_published_again() -> None:
    fail(make_user().email)
    reports_publish(now=timezone.now())
    reports_publish(now=timezone.now())
    assert len(events()) == 1


def statements_of(email: str) -> list[list[str]]:
    """What each attempt asks of the database, from the first failure until a lock has refused twice."""
    client, found = UserServiceClient(), []
    for _ in range(PAIR_LIMIT + 2):
        with CaptureQueriesContext(connection) as captured:
            fail(email, client=client)
        found.append([query["sql"].split(" ")[0] for query in captured.captured_queries])
    return found


def test_an_attempt_costs_the_same_with_and_without_an_account() -> None:
    """An event in the request, for accounts alone, would take longer for them."""
    assert statements_of(make_user().email) == statements_of("nobody@example.com")


def test_a_thousand_failures_at_unknown_addresses_are_one_event() -> None:
    now = timezone.now()
    LogInReport.objects.bulk_create(
        LogInReport(
            email=f"nobody{number % 700}@example.com",
            door="api",
            reason="password",
            address=f"192.0.{number % 5}.1",
            correlation_id=UUID(int=1),
            at=now,
        )
        for number in range(1000)
    )
    reports_publish(now=now)

    ((kind, payload),) = events()
    assert kind == "security.unknown_log_ins_failed"
    assert (payload["attempts"], payload["addresses"], payload["networks"]) == (1000, 700, 5)
    assert "example.com" not in str(payload)
    assert StoredEvent.objects.get().user_id is None
    assert not ClientRecord.objects.exists()


def test_failures_at_an_account_from_many_clients_are_a_few_events() -> None:
    user = make_user()
    for _ in range(MOST_EVENTS + 4):
        fail(user.email)
    reports_publish(now=timezone.now())

    found = [payload for _, payload in events("user.log_in_failed")]
    assert len(found) == MOST_EVENTS
    assert sum(payload["attempts"] for payload in found) == MOST_EVENTS + 4
    assert [payload["attempts"] for payload in found if payload["reason"] == "several"] == [5]


def test_a_lock_is_told_once_by_the_first_attempt_that_it_refuses() -> None:
    user = make_user()
    fail(user.email, times=PAIR_LIMIT + 3, client=UserServiceClient())
    fail("nobody@example.com", times=PAIR_LIMIT + 3, client=UserServiceClient())
    reports_publish(now=timezone.now())

    (lock,) = [payload for _, payload in events("user.locked_out")]
    assert (lock["user_id"], lock["scope"], lock["door"]) == (str(user.id), "account_and_network", "api")
    (unknown,) = [payload for _, payload in events("security.unknown_log_ins_failed")]
    assert (unknown["attempts"], unknown["locks"]) == (PAIR_LIMIT, 1)


def test_a_locked_network_is_told_without_an_account() -> None:
    client, kind = UserServiceClient(), LockoutCounter.Kind.ADDRESS
    LockoutCounter.objects.create(
        kind=kind,
        subject=digest_of(client.address),
        attempts=LIMITS[kind].attempts,
        window_ends_at=timezone.now() + timedelta(minutes=5),
    )
    fail(make_user().email, times=2, client=client)
    reports_publish(now=timezone.now())

    assert [kind for kind, _ in events("security.network_locked_out", "user.locked_out")] == [
        "security.network_locked_out"
    ]
    assert ClientRecord.objects.get().user_id is None


def test_locks_of_many_networks_are_a_few_events() -> None:
    now = timezone.now()
    LogInReport.objects.bulk_create(
        LogInReport(
            email="a@example.com", door="api", lock="address", locked_until=now, correlation_id=UUID(int=1), at=now
        )
        for _ in range(40)
    )
    reports_publish(now=now)

    assert len(events("security.network_locked_out")) == MOST_EVENTS
    assert [payload["network_locks"] for _, payload in events("security.unknown_log_ins_failed")] == [40 - MOST_EVENTS]


def test_a_wrong_code_is_a_failed_log_in_and_a_missing_one_is_not() -> None:
    user = make_user()
    with_authenticator(UserServiceClient(user))
    client = UserServiceClient()
    assert client.post(LOG_IN, {"email": user.email, "password": PASSWORD}).json()["error"]["code"] == "otp_required"
    client.post(LOG_IN, {"email": user.email, "password": PASSWORD, "otp": "000000"})

    reports_publish(now=timezone.now())
    assert [payload["reason"] for _, payload in events("user.log_in_failed")] == ["otp"]


def test_a_recovery_code_says_how_many_are_left() -> None:
    user = make_user()
    _, codes = with_authenticator(UserServiceClient(user))
    body = {"email": user.email, "password": PASSWORD, "otp": codes[0]}
    assert UserServiceClient().post(LOG_IN, body).status_code == 200

    assert [payload["left"] for _, payload in events("user.recovery_code_used")] == [9]
    assert codes[0] not in str(events())


def test_switching_two_factor_log_in_on_and_off_are_events() -> None:
    mine = UserServiceClient(make_user())
    totp, _ = with_authenticator(mine)
    assert mine.post("/api/v1/auth/mfa/disable", {"password": PASSWORD, "otp": totp.now()}).status_code == 204

    assert [kind for kind, _ in events("user.mfa.enabled", "user.mfa.disabled")] == [
        "user.mfa.enabled",
        "user.mfa.disabled",
    ]


@pytest.mark.parametrize("proof", [{"otp": "000000"}, {"password": "not it"}])
def test_a_failed_step_up_is_an_event_of_its_session(proof: dict[str, str]) -> None:
    mine = UserServiceClient(user := make_user())
    if "otp" in proof:
        with_authenticator(mine)
    assert mine.post(STEP_UP, proof).status_code in (401, 422)

    ((_, payload),) = events("user.step_up_failed")
    assert (payload["session_id"], payload["method"]) == (str(mine.session_id), next(iter(proof)))
    row = StoredEvent.objects.get(event_type="user.step_up_failed")
    assert (json.loads(row.actor)["id"], json.loads(row.actor)["session"]) == (str(user.id), str(mine.session_id))


def test_a_locked_step_up_is_told_once_and_names_its_session() -> None:
    mine = UserServiceClient(user := make_user())
    for _ in range(LIMITS[LockoutCounter.Kind.STEP_UP].attempts):
        step_up_count_attempt(session_id=mine.session_id, now=timezone.now())
    assert [mine.post(STEP_UP, {"password": PASSWORD}).status_code for _ in range(3)] == [429] * 3

    ((_, payload),) = events("user.locked_out")
    assert (payload["user_id"], payload["scope"]) == (str(user.id), "step_up")
    assert json.loads(StoredEvent.objects.get().actor)["session"] == str(mine.session_id)


def test_a_changed_password_is_an_event_by_itself() -> None:
    mine = UserServiceClient(make_user())
    body = {"current_password": PASSWORD, "new_password": "a wholly different sentence"}
    assert mine.post("/api/v1/user/me/password", body).status_code == 204
    assert [payload["how"] for _, payload in events("user.password_changed")] == ["changed"]


@pytest.mark.parametrize("by_refresh_token", [True, False])
def test_a_log_out_is_an_event(by_refresh_token: bool) -> None:
    mine = UserServiceClient(make_user())
    assert mine.tokens is not None
    assert mine.post(LOG_OUT, {"refresh": mine.tokens.refresh} if by_refresh_token else {}).status_code == 204
    mine.post(LOG_OUT, {"refresh": mine.tokens.refresh})

    assert [kind for kind, _ in events()] == ["user.logged_out", "user.session_ended"]


def test_a_report_of_an_account_that_is_gone_names_nobody() -> None:
    user: User = make_user()
    fail(user.email)
    user.delete()
    reports_publish(now=timezone.now())
    assert [kind for kind, _ in events()] == ["security.unknown_log_ins_failed"]
