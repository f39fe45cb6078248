"""Closure: with a fresh proof, at once for the account, step by step for what other services have."""

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core import mail
from django.core.management import call_command
from django.utils import timezone

from apps.accounts import kraken_service
from apps.accounts.models import (
    AccountClosure,
    KnownDevice,
    MfaDevice,
    OneTimeToken,
    OutgoingMail,
    Passkey,
    User,
    UserSession,
)
from apps.accounts.services.closure import TOKENS_OUTLIVE, closure_sweep
from apps.accounts.services.housekeeping import accounts_purge
from apps.accounts.services.mail import GIVEN_UP_AFTER, mail_send_due
from apps.audit.verification import verify
from apps.core.errors import DependencyUnavailable
from apps.core.models import IdempotencyRecord
from apps.events.models import ClientRecord, StoredEvent
from apps.onboarding.models import Onboarding
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user
from tests.integration.audit.conftest import checkpoint_all

pytestmark = pytest.mark.django_db

ME = "/api/v1/user/me"
LOG_IN = "/api/v1/auth/login"
REGISTER = "/api/v1/auth/register"


class Kraken:
    """The kraken service's answers, and the steps that were asked for."""

    def __init__(self) -> None:
        self.holdings: list[dict[str, Any]] = []
        self.remaining: list[dict[str, Any]] = []
        self.is_down = False
        self.steps: list[UUID] = []

    def asked(self, answer: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        if self.is_down:
            raise DependencyUnavailable("down")
        return answer()

    def step(self, *, user_id: UUID) -> list[dict[str, Any]]:
        self.steps.append(user_id)
        return self.asked(lambda: self.remaining)


@pytest.fixture(autouse=True)
def kraken(monkeypatch: pytest.MonkeyPatch) -> Kraken:
    service = Kraken()
    monkeypatch.setattr(kraken_service, "closure_holdings", lambda **_: service.asked(lambda: service.holdings))
    monkeypatch.setattr(kraken_service, "closure_step", service.step)
    return service


@pytest.fixture
def user() -> User:
    return make_user(name="Ada Lovelace", email_verified_at=timezone.now())


@pytest.fixture
def mine(user: User) -> UserServiceClient:
    client = UserServiceClient(user)
    client.bear(client.post("/api/v1/auth/step-up", {"password": PASSWORD}).json()["access"])
    return client


def _mailed(address: str) -> list[str]:
    """The subjects of all mail to an address, after what is due was sent."""
    while mail_send_due(now=timezone.now() + TOKENS_OUTLIVE):
        pass
    return [str(message.subject) for message in mail.outbox if message.to == [address]]


def test_it_needs_a_fresh_proof(user: User) -> None:
    answer = UserServiceClient(user).delete(ME)

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "step_up_required")
    assert User.objects.get().is_active


def test_nobody_can_log_in_any_more_and_the_address_is_free(
    mine: UserServiceClient, user: User, kraken: Kraken
) -> None:
    other_session = UserServiceClient(user)
    assert other_session.tokens is not None
    refresh = other_session.tokens.refresh

    answer = mine.delete(ME)

    assert (answer.status_code, answer.json()["remaining"]) == (202, [])
    assert kraken.steps == [user.id]
    assert mine.get(ME).status_code == 401
    assert other_session.post("/api/v1/auth/refresh", {"refresh": refresh}).status_code == 401
    assert UserServiceClient().post(LOG_IN, {"email": user.email, "password": PASSWORD}).status_code == 401
    body = {"email": user.email, "password": PASSWORD}
    assert UserServiceClient().post(REGISTER, body).status_code == 201
    assert User.objects.get(email=user.email).id != user.id
    assert UserServiceClient().post(LOG_IN, body).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_nothing_personal_is_left_and_the_audit_chain_is_whole(mine: UserServiceClient, user: User) -> None:
    now = timezone.now()
    assert mine.patch(ME, {"name": "Ada Byron"}, headers={"Idempotency-Key": "k"}).status_code == 200
    assert mine.post("/api/v1/onboarding/profile", {"name": "Ada", "country": "DE"}).status_code in (200, 400)
    Onboarding.objects.get_or_create(user_id=user.id, defaults={"started_at": now})
    OutgoingMail.objects.create(
        kind="password_changed", email=user.email, created_at=now, next_attempt_at=now, sent_at=now
    )
    UserSession.objects.filter(user=user).update(address="192.0.2.7", user_agent="Ada's browser")

    assert mine.delete(ME, headers={"User-Agent": "Ada's browser"}).status_code == 202

    closed = User.objects.get(pk=user.id)
    assert (closed.email, closed.name) == (f"{user.id}@closed.invalid", "")
    assert not closed.has_usable_password()
    for model in (Passkey, MfaDevice, OneTimeToken, KnownDevice):
        assert not model.objects.filter(user=user).exists()
    assert list(OutgoingMail.objects.filter(email=user.email).values_list("kind", flat=True)) == ["closure_asked"]
    assert mail_send_due(now=timezone.now())
    assert not OutgoingMail.objects.filter(email=user.email).exists()
    assert not Onboarding.objects.exists()
    assert not ClientRecord.objects.filter(user_id=user.id).exists()
    assert not IdempotencyRecord.objects.filter(scope=str(user.id)).exists()
    sessions = UserSession.objects.filter(user=user)
    assert {(each.address, each.user_agent, each.revoked_reason) for each in sessions} == {(None, "", "account_closed")}
    for event in StoredEvent.objects.all():
        text = bytes(event.payload) + event.actor.encode()
        for personal in (user.email.encode(), b"Ada", b"192.0.2.7", mine.address.encode()):
            assert personal not in text
    call_command("audit_verify", stdout=io.StringIO())


@pytest.mark.django_db(transaction=True)
def test_events_under_a_signed_checkpoint_stay_valid_through_a_closure(
    mine: UserServiceClient,
) -> None:
    key = Ed25519PrivateKey.generate()
    assert mine.patch(ME, {"name": "Ada Byron"}).status_code == 200
    before = checkpoint_all(key)

    assert mine.delete(ME).status_code == 202
    began = AccountClosure.objects.get().requested_at
    assert closure_sweep(now=began + TOKENS_OUTLIVE)
    assert AccountClosure.objects.get().finished_at is not None

    after = checkpoint_all(key)
    assert after != before
    verdict = verify(public_key=key.public_key())
    assert (verdict.is_whole, verdict.pending) == (True, 0)


def test_bots_that_hold_coins_bar_it_unless_they_are_abandoned(
    mine: UserServiceClient, user: User, kraken: Kraken
) -> None:
    kraken.holdings = [{"bot_id": "b", "name": "Keeper", "volume": "0.25"}]

    answer = mine.delete(ME)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"]["bots"]) == (409, "closure_barred", kraken.holdings)
    assert (kraken.steps, AccountClosure.objects.count()) == ([], 0)
    assert mine.delete(f"{ME}?abandon=true").status_code == 202
    (event,) = StoredEvent.objects.filter(event_type="user.closed", aggregate_id=user.id)
    assert b'"abandons":true' in bytes(event.payload)


def test_where_it_is_not_known_what_bots_hold_nothing_is_closed(mine: UserServiceClient, kraken: Kraken) -> None:
    kraken.is_down = True

    assert mine.delete(ME).status_code == 503
    assert User.objects.get().is_active


def test_the_sweep_goes_on_after_a_crash_until_nothing_remains_and_no_token_is_good(
    mine: UserServiceClient, user: User, kraken: Kraken
) -> None:
    kraken.is_down = True
    answer = mine.delete(f"{ME}?abandon=true")
    assert (answer.status_code, answer.json()["remaining"]) == (202, None)
    began = AccountClosure.objects.get().requested_at

    kraken.is_down, kraken.remaining = False, [{"bot_id": "b", "waits_for": "stopping"}]
    assert closure_sweep(now=began + timedelta(seconds=5))
    assert AccountClosure.objects.get().remaining == kraken.remaining
    assert not closure_sweep(now=began + timedelta(seconds=6))
    kraken.remaining = []
    assert closure_sweep(now=began + timedelta(minutes=1))
    assert AccountClosure.objects.get().finished_at is None
    assert not closure_sweep(now=began + timedelta(minutes=2))
    assert closure_sweep(now=began + TOKENS_OUTLIVE)

    assert AccountClosure.objects.get().finished_at == began + TOKENS_OUTLIVE
    assert not closure_sweep(now=began + timedelta(hours=1))
    assert _mailed(user.email) == ["Your account is being closed", "Your account was closed"]
    assert (AccountClosure.objects.get().email, OutgoingMail.objects.count()) == ("", 0)
    assert StoredEvent.objects.filter(event_type="user.closed").count() == 1


def test_the_owners_mail_that_no_server_takes_is_erased_after_a_day(mine: UserServiceClient, user: User) -> None:
    assert mine.delete(ME).status_code == 202
    assert OutgoingMail.objects.get().email == user.email

    accounts_purge("outgoing_mail", now=timezone.now() + GIVEN_UP_AFTER - timedelta(minutes=1))
    assert OutgoingMail.objects.count() == 1
    accounts_purge("outgoing_mail", now=timezone.now() + GIVEN_UP_AFTER + timedelta(minutes=1))

    assert OutgoingMail.objects.count() == 0


def test_staff_cannot_close_their_account_nor_open_a_closed_one(user: User, mine: UserServiceClient) -> None:
    admin = make_user(roles=["admin", "trader"])
    client = UserServiceClient(admin)
    client.bear(client.post("/api/v1/auth/step-up", {"password": PASSWORD}).json()["access"])
    assert client.delete(ME).json()["error"]["code"] == "staff_account"
    assert mine.delete(ME).status_code == 202

    answer = client.patch(f"/api/v1/user/{user.id}", {"is_active": True})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "account_closed")
