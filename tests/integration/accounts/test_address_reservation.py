"""While a change of an address can be reverted, its old address is reserved: no other account gets it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from apps.accounts.errors import EmailTaken
from apps.accounts.models import EmailChange, User
from apps.accounts.services.email_change import (
    REVERT_WITHIN,
    email_change_confirm,
    email_change_request,
    email_change_revert,
)
from apps.accounts.services.mail import mail_send_due
from apps.accounts.services.registration import user_register
from apps.accounts.services.staff import staff_create
from apps.accounts.tokens import digest_of
from apps.core.identity.assurance import Assurance
from apps.core.identity.principal import Role
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user
from tests.support.transactions import one_after_the_other

pytestmark = pytest.mark.django_db

OLD, NEW = "ada@example.com", "ada@example.org"


def _ask(user: User, email: str, now: datetime) -> EmailChange:
    return email_change_request(
        user_id=user.id,
        session_id=UserServiceClient(user).session_id,
        new_email=email,
        password=PASSWORD,
        assurance=Assurance(),
        now=now,
    )


def _code(change: EmailChange, field: str) -> str:
    """A code for the change, as the mailer issues it."""
    code = f"{field} of {change.id}"
    EmailChange.objects.filter(pk=change.pk).update(**{field: digest_of(code)})
    return code


def _move(user: User, email: str, now: datetime) -> EmailChange:
    change = _ask(user, email, now)
    email_change_confirm(token=_code(change, "confirm_digest"), now=now)
    change.refresh_from_db()
    return change


def _register(email: str, now: datetime) -> bool:
    """Whether the registration opened an account: its answer does not tell."""
    user_register(email=email, password=PASSWORD, name="", now=now)
    return User.objects.filter(email=email).exists()


def _bodies() -> dict[str, str]:
    while mail_send_due(now=timezone.now()):
        pass
    return {f"{message.to[0]}: {message.subject}": str(message.body) for message in mail.outbox}


def test_nobody_registers_the_old_address_before_it_can_no_longer_be_reverted_to() -> None:
    now = timezone.now()
    _move(make_user(email=OLD), NEW, now)
    body = {"email": OLD, "password": PASSWORD}
    reserved = UserServiceClient().post("/api/v1/auth/register", body)
    free = UserServiceClient().post("/api/v1/auth/register", {**body, "email": "free@example.com"})

    assert (reserved.status_code, reserved.json().keys()) == (201, free.json().keys())
    assert not User.objects.filter(email=OLD).exists()
    assert not _register(OLD, now + REVERT_WITHIN - timedelta(seconds=1))
    assert _register(OLD, now + REVERT_WITHIN)


def test_the_owner_of_the_reserved_address_is_told_why_and_gets_no_code() -> None:
    change = _move(make_user(email=OLD), NEW, timezone.now())
    _register(OLD, timezone.now())
    _ask(make_user(), OLD, timezone.now())

    bodies = _bodies()

    assert f"until {change.revert_expires_at:%Y-%m-%d %H:%M} UTC" in bodies[f"{OLD}: This address is reserved"]
    assert f"{OLD}: Confirm your new e-mail address" not in bodies


def test_no_other_account_moves_to_it_and_its_own_may_move_back() -> None:
    now = timezone.now()
    owner, other = make_user(email=OLD), make_user(email="eve@example.com")
    _move(owner, NEW, now)

    with pytest.raises(EmailTaken):
        _move(other, OLD, now)
    other.refresh_from_db()
    assert other.email == "eve@example.com"
    _move(owner, OLD, now)

    owner.refresh_from_db()
    assert owner.email == OLD


def test_a_reverted_change_reserves_nothing() -> None:
    now = timezone.now()
    owner = make_user(email=OLD)
    change = _move(owner, NEW, now)
    email_change_revert(token=_code(change, "revert_digest"), now=now)

    assert _register(NEW, now)


def test_no_account_of_staff_is_made_with_it() -> None:
    now = timezone.now()
    _move(make_user(email=OLD), NEW, now)

    with pytest.raises(EmailTaken):
        staff_create(email=OLD, password=PASSWORD, role=Role.SUPPORT, name="", now=now)


@pytest.mark.django_db(transaction=True)
def test_a_registration_that_waits_for_the_change_does_not_get_the_address_after_it() -> None:
    now = timezone.now()
    owner = make_user(email=OLD)
    code = _code(_ask(owner, NEW, now), "confirm_digest")

    is_new = one_after_the_other(
        lambda: email_change_confirm(token=code, now=now), lambda: _register(OLD, timezone.now())
    )

    assert not is_new
    owner.refresh_from_db()
    assert owner.email == NEW


@pytest.mark.django_db(transaction=True)
def test_of_a_change_and_many_who_want_the_address_at_once_none_gets_it_and_the_owner_can_revert() -> None:
    now = timezone.now()
    owner, others = make_user(email=OLD), [make_user() for _ in range(2)]
    change = _ask(owner, NEW, now)
    code = _code(change, "confirm_digest")
    codes = [_code(_ask(other, OLD, now), "confirm_digest") for other in others]
    start = threading.Barrier(6)

    def act(number: int) -> None:
        start.wait()
        try:
            if number == 0:
                email_change_confirm(token=code, now=now)
            elif number <= 2:
                with pytest.raises(EmailTaken):
                    email_change_confirm(token=codes[number - 1], now=now)
            else:
                _register(OLD, now)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(act, range(6)))

    owner.refresh_from_db()
    assert (owner.email, User.objects.filter(email=OLD).exists()) == (NEW, False)
    email_change_revert(token=_code(change, "revert_digest"), now=now)
    owner.refresh_from_db()
    assert owner.email == OLD
