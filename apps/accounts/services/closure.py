"""Closure: the owner ends the account for good.

The request ends everything of the account here in one transaction and publishes it; from its commit on no one can log
in. What the kraken service has (bots, orders, keys) takes longer: it is asked for one step after the other until
nothing remains, by the request and then by the sweep of `manage.py run_housekeeping`. The next step makes good any
crash.
"""

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.contrib.auth.hashers import make_password
from django.db import transaction

from apps.accounts import kraken_service
from apps.accounts.errors import ClosureBarred, StaffCannotClose
from apps.accounts.models import (
    AccountClosure,
    EmailChange,
    KnownDevice,
    LogInReport,
    MfaDevice,
    MfaRemoval,
    OneTimeToken,
    OutgoingMail,
    Passkey,
    RecoveryCode,
    User,
    UserSession,
)
from apps.accounts.services.mail import mail_queue
from apps.accounts.services.sessions import sessions_end_all
from apps.accounts.services.step_up import step_up_require
from apps.core.api.idempotency import idempotency_erase
from apps.core.due import due
from apps.core.errors import DependencyUnavailable
from apps.core.identity.assurance import Assurance
from apps.core.models import MachineKey, MachineKeyUse
from apps.core.personal_data import personal_data_erase
from apps.events.models import ClientRecord
from apps.events.process.backoff import delay_seconds
from apps.events.store.publish import publish
from apps.messages.user import UserClosed

log = structlog.get_logger(__name__)

# Access tokens that other services have not yet refused may act for ten minutes: only then is the last step the last.
TOKENS_OUTLIVE = timedelta(minutes=15)
FIRST_DELAY_SECONDS = 2.0
# A process that takes a step has this long for it. Then another one may take it.
CLAIM = timedelta(minutes=1)
LONGEST_DELAY = timedelta(minutes=10)


def account_close(*, user_id: UUID, assurance: Assurance, abandon: bool, now: datetime) -> AccountClosure:
    """Closes the account. Not in a transaction: the kraken service is asked before, and once after.

    Raises StepUpRequired, StaffCannotClose; ClosureBarred where bots hold coins or have orders and the owner does not
    say `abandon`; DependencyUnavailable where that cannot be known.
    """
    step_up_require(user_id=user_id, assurance=assurance, now=now)
    if not abandon and (holdings := kraken_service.closure_holdings(user_id=user_id)):
        raise ClosureBarred(holdings)
    with transaction.atomic():
        _close(user_id, abandon, now)
    _step(user_id, now)
    return AccountClosure.objects.get(pk=user_id)


def closure_sweep(*, now: datetime) -> bool:
    """Takes one step of the closure that has been due longest. Returns False if none is due.

    The closure is claimed first: one whose step fails unforeseen, or kills the process, has its next turn after others.
    """
    waiting = AccountClosure.objects.filter(due("next_step_at", now=now, at_most=TOKENS_OUTLIVE), finished_at=None)
    with transaction.atomic():
        row = waiting.select_for_update(skip_locked=True).order_by("next_step_at").first()
        if row is None:
            return False
        row.next_step_at = now + CLAIM
        row.save(update_fields=["next_step_at"])
    _step(row.pk, now)
    return True


def _close(user_id: UUID, abandon: bool, now: datetime) -> None:
    user = User.objects.select_for_update().get(pk=user_id)
    if user.is_staff:
        raise StaffCannotClose()
    email = user.email
    _, is_new = AccountClosure.objects.get_or_create(
        user=user, defaults={"requested_at": now, "abandons": abandon, "next_step_at": now, "email": email}
    )
    if not is_new:
        return
    sessions_end_all(user_id=user_id, ending=UserSession.Ending.ACCOUNT_CLOSED, now=now)
    publish(UserClosed(user_id=user_id, abandons=abandon, closed_at=now), now=now)
    _erase(user)
    mail_queue(kind=OutgoingMail.Kind.CLOSURE_ASKED, email=email, now=now)


def _erase(user: User) -> None:
    """Everything personal of this service. Events hold ids only, and digests that these rows alone explain (ADR 9)."""
    email = user.email
    keys = MachineKey.objects.filter(user_id=user.id)
    MachineKeyUse.objects.filter(key_id__in=keys.values("id")).delete()
    keys.update(name="", networks=[])
    for model in (Passkey, MfaDevice, MfaRemoval, RecoveryCode, OneTimeToken, KnownDevice, EmailChange):
        model.objects.filter(user=user).delete()
    OutgoingMail.objects.filter(email=email).delete()
    LogInReport.objects.filter(email=email).delete()
    UserSession.objects.filter(user=user).update(address=None, user_agent="")
    idempotency_erase(user_id=user.id)
    _erase_traces(user.id)
    # No mail is delivered at .invalid (RFC 2606), and the address is free for a new account.
    user.email, user.email_verified_at = f"{user.id}@closed.invalid", None
    user.name, user.time_zone, user.last_login = "", "UTC", None
    user.password, user.is_active = make_password(None), False
    user.save()


def _step(user_id: UUID, now: datetime) -> None:
    """One step in the kraken service, and what came of it. Never raises for that service's sake."""
    remaining: list[dict[str, object]] | None
    try:
        remaining = kraken_service.closure_step(user_id=user_id)
    except DependencyUnavailable as error:
        log.warning("closure_step_failed", user_id=str(user_id), code=error.code)
        remaining = None
    with transaction.atomic():
        row = AccountClosure.objects.select_for_update().get(pk=user_id)
        if row.finished_at is not None:
            return
        row.steps += 1
        seconds = delay_seconds(row.steps, first_seconds=FIRST_DELAY_SECONDS, max_seconds=LONGEST_DELAY.total_seconds())
        row.next_step_at = now + timedelta(seconds=seconds)
        if remaining is not None:
            row.remaining = remaining
        if remaining == []:
            last_step_at = row.requested_at + TOKENS_OUTLIVE
            if now >= last_step_at:
                _erase_traces(user_id)
                mail_queue(kind=OutgoingMail.Kind.CLOSURE_DONE, email=row.email, now=now)
                row.finished_at, row.email = now, ""
                log.info("account_closed", user_id=str(user_id), steps=row.steps)
            else:
                row.next_step_at = last_step_at
        row.save()


def _erase_traces(user_id: UUID) -> None:
    """What requests of the user leave, also the last ones to other services."""
    ClientRecord.objects.filter(user_id=user_id).delete()
    personal_data_erase(user_id)
