"""What may be an attack is a notice for staff and a mail to the owner: one of each, however much it is."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.consumers import KINDS, SECURITY
from apps.accounts.models import OutgoingMail, SecurityNotice, User
from apps.accounts.services.housekeeping import accounts_purge
from apps.accounts.services.security_notices import RULES, security_notice_acknowledge
from apps.core.errors import Conflict
from apps.core.terms import Mode
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.models import StoredEvent
from apps.events.store.selectors import envelope_of as stored_envelope
from apps.messages.definitions import BotCreated
from apps.messages.kraken import KrakenKeyConnected, KrakenKeyUpdated
from apps.messages.live_trading import LiveTradingSwitched
from apps.messages.security import UnknownLogInsFailed, UserLockedOut, UserLogInFailed, UserMfaDisabled
from apps.messages.user import PasskeyAdded
from tests.factories.accounts import UserServiceClient, make_user
from tests.support.envelopes import envelope_of
from tests.support.staff_site import serve_staff_site

pytestmark = pytest.mark.django_db

load_consumers()

NOTICES = "/admin/accounts/securitynotice/"


@pytest.fixture
def user() -> User:
    return make_user()


def _tell(message: Any, at: datetime | None = None) -> bool:
    return deliver(envelope_of(message, occurred_at=at or timezone.now()), group=SECURITY)


def _failed(user: User, attempts: int, at: datetime | None = None) -> bool:
    at = at or timezone.now()
    failed = UserLogInFailed(
        user_id=user.id, door="api", reason="password", attempts=attempts, first_at=at, last_at=at
    )  # fmt: skip
    return _tell(failed, at)


def _key(user: User, mode: Mode = Mode.PAPER) -> KrakenKeyConnected:
    return KrakenKeyConnected(credential_id=uuid4(), user_id=user.id, mode=mode, permissions=())


def _mails(user: User) -> list[str]:
    return list(OutgoingMail.objects.filter(email=user.email).order_by("kind").values_list("kind", flat=True))


def _raised() -> list[tuple[str, int]]:
    return list(SecurityNotice.objects.filter(is_raised=True).order_by("kind").values_list("kind", "count"))


def test_a_thousand_failed_log_ins_are_one_notice_and_one_mail(user: User) -> None:
    for _ in range(20):
        _failed(user, 50)

    assert _raised() == [("log_ins_failed", 1000)]
    assert _mails(user) == ["log_ins_failed"]


def test_a_few_failures_are_no_notice_and_are_forgotten_after_a_day(user: User) -> None:
    threshold = RULES[SecurityNotice.Kind.LOG_INS_FAILED].threshold
    now = timezone.now()
    _failed(user, threshold - 1, now - timedelta(hours=25))
    _failed(user, threshold - 1, now)

    assert (_raised(), _mails(user)) == ([], [])
    assert SecurityNotice.objects.get().count == threshold - 1

    _failed(user, 1, now)
    assert _raised() == [("log_ins_failed", threshold)]


def test_a_lock_raises_the_notice_at_once(user: User) -> None:
    now = timezone.now()

    _tell(UserLockedOut(user_id=user.id, door="api", scope="account", until=now))

    assert (_raised(), _mails(user)) == ([("log_ins_failed", 1)], ["log_ins_failed"])


def test_failures_without_an_account_concern_nobody_who_could_be_mailed() -> None:
    now = timezone.now()
    failed = UnknownLogInsFailed(
        report_id=uuid4(), attempts=500, addresses=90, networks=3, locks=0, network_locks=0, first_at=now, last_at=now
    )

    _tell(failed)

    assert _raised() == [("unknown_log_ins_failed", 500)]
    assert SecurityNotice.objects.get().user_id is None
    assert not OutgoingMail.objects.exists()


def test_a_changed_key_is_told_to_staff_and_owner_and_a_renamed_one_to_nobody(user: User) -> None:
    _tell(KrakenKeyUpdated(credential_id=uuid4(), user_id=user.id, changed=("label",)))
    assert (_raised(), _mails(user)) == ([], [])

    _tell(_key(user))
    _tell(KrakenKeyUpdated(credential_id=uuid4(), user_id=user.id, changed=("key", "permissions")))

    assert (_raised(), _mails(user)) == ([("exchange_key_changed", 2)], ["exchange_key_changed"])


def test_what_is_mailed_where_it_is_changed_is_not_mailed_twice(user: User) -> None:
    _tell(UserMfaDisabled(user_id=user.id))
    _tell(PasskeyAdded(user_id=user.id, passkey_id=uuid4()))

    assert (_raised(), _mails(user)) == ([("second_factor_changed", 2)], [])


def test_only_what_is_live_is_noticed(user: User) -> None:
    now = timezone.now()
    for mode in (Mode.PAPER, Mode.LIVE):
        made = BotCreated(
            bot_id=uuid4(), user_id=user.id, credential_id=uuid4(), mode=mode, pair="XBTUSD", strategy="dca",
            quote_budget=Decimal(1), created_at=now,
        )  # fmt: skip
        _tell(made)
    for is_on in (False, True):
        _tell(LiveTradingSwitched(is_on=is_on, reason="r", operator="o", switched_at=now))

    assert _raised() == [("live_bot_created", 1), ("live_switched_on", 1)]
    assert _mails(user) == ["live_bot_created"]
    assert SecurityNotice.objects.get(kind="live_switched_on").severity == "critical"


def test_a_second_delivery_and_a_replay_change_nothing(user: User) -> None:
    envelope = envelope_of(_key(user), occurred_at=timezone.now())

    assert [deliver(envelope, group=SECURITY) for _ in range(2)] == [True, False]
    replayed = replace(envelope_of(_key(user), occurred_at=timezone.now()), replay_id=uuid4())
    assert not deliver(replayed, group=SECURITY)

    assert _raised() == [("exchange_key_changed", 1)]


def test_nobody_is_mailed_about_what_happened_days_ago(user: User) -> None:
    _tell(_key(user), timezone.now() - timedelta(days=2))

    assert (_raised(), _mails(user)) == ([("exchange_key_changed", 1)], [])


def test_what_happens_after_an_acknowledgement_is_a_new_notice_and_no_further_mail_within_its_quiet_time(
    user: User,
) -> None:
    _failed(user, 30)
    first = SecurityNotice.objects.get()
    staff, now = uuid4(), timezone.now()
    security_notice_acknowledge(notice_id=first.id, staff_id=staff, because="The owner's old phone", now=now)
    OutgoingMail.objects.update(sent_at=now)
    with pytest.raises(Conflict):
        security_notice_acknowledge(notice_id=first.id, staff_id=staff, because="again", now=now)

    _failed(user, 40)

    assert sorted(SecurityNotice.objects.values_list("count", flat=True)) == [30, 40]
    assert _mails(user) == ["log_ins_failed"]
    (payload,) = StoredEvent.objects.filter(event_type="security.notice_acknowledged").values_list("payload", flat=True)
    told = json.loads(bytes(payload))
    assert (told["notice_id"], told["staff_id"], told["because"]) == (
        str(first.id), str(staff), "The owner's old phone",
    )  # fmt: skip


@pytest.mark.usefixtures("_user_service")
def test_a_log_in_from_a_new_device_is_an_event() -> None:
    user = make_user(last_login=timezone.now())
    UserServiceClient().post("/api/v1/auth/login", {"email": user.email, "password": "correct horse battery staple"})

    (event,) = StoredEvent.objects.filter(event_type="user.new_device")
    assert event.user_id == user.id
    assert KINDS[type(stored_envelope(event).message())] == "new_device"


def test_what_is_acknowledged_goes_after_a_year_and_what_is_not_stays(user: User) -> None:
    _failed(user, 1)
    _tell(_key(user))
    later = timezone.now() + timedelta(days=400)

    assert accounts_purge("security_notice", now=later) == 1
    assert _raised() == [("exchange_key_changed", 1)]


@pytest.fixture
def _staff_site(settings: Any, _user_service: None) -> None:
    serve_staff_site(settings)


def _as(*roles: str) -> tuple[Client, User]:
    client, staff = Client(), make_user(roles=list(roles))
    client.force_login(staff)
    return client, staff


@pytest.mark.usefixtures("_staff_site")
def test_staff_acknowledge_a_notice_with_a_reason(user: User) -> None:
    _tell(_key(user))
    notice = SecurityNotice.objects.get()
    page = f"{NOTICES}{notice.id}/change/"
    support, staff = _as("support")

    assert "This field is required" in support.post(page, {"reason": ""}).content.decode()
    assert _as("auditor")[0].post(page, {"reason": "no"}).status_code == 403
    notice.refresh_from_db()
    assert notice.acknowledged_at is None

    assert support.post(page, {"reason": "Asked the owner"}).status_code == 302
    notice.refresh_from_db()
    assert (notice.acknowledged_by, notice.because) == (staff.id, "Asked the owner")
    events = StoredEvent.objects.filter(event_type__in=("security.notice_acknowledged", "staff.acted"))
    assert events.count() == 2
    assert support.post(page, {"reason": "Twice"}).status_code == 403


@pytest.mark.usefixtures("_staff_site")
def test_the_list_has_what_is_raised_and_nothing_else(user: User) -> None:
    _failed(user, 1)
    _tell(_key(user))

    shown = _as("auditor")[0].get(NOTICES).content.decode()

    assert "Exchange key changed" in shown
    assert shown.count(f"{NOTICES}{SecurityNotice.objects.get(is_raised=True).id}/change/") >= 1
    assert str(SecurityNotice.objects.get(is_raised=False).id) not in shown
