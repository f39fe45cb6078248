"""Lockout: limits how often passwords and codes can be guessed, without locking the owner out.

A stranger's failures count per account and network, per account, and per network. A known device and a live session
each have a counter of their own, so that no stranger can use up their attempts (docs/accounts.md).

An attempt is counted before the password is checked, in a transaction of its own. A hundred concurrent guesses are
therefore a hundred attempts, and a refused request does not roll its count back.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet

from apps.accounts.errors import TooManyAttempts
from apps.accounts.models import Door, LockoutCounter, UserSession
from apps.accounts.services.known_devices import device_token_is_known, network_is_known
from apps.accounts.services.log_in_reports import lock_report
from apps.accounts.tokens import digest_of
from apps.core.identity.client_info import ClientInfo
from apps.core.identity.networks import network_of
from apps.events.store.publish import publish
from apps.messages.security import UserLockedOut

Kind = LockoutCounter.Kind


@dataclass(frozen=True)
class Limit:
    """More than `attempts` within `window` are refused, until `window` after the last one that was allowed.

    `needs_silence`: the count starts again only after a whole window without an allowed attempt. No window of this
    length then holds more than `attempts`, wherever it begins.
    """

    attempts: int
    window: timedelta
    needs_silence: bool = False


_QUARTER = timedelta(minutes=15)
LIMITS = {
    Kind.PAIR: Limit(5, _QUARTER),
    # OWASP ASVS 4.0.3, 2.2.1: no more than 100 failed attempts per hour on a single account.
    Kind.ACCOUNT: Limit(100, timedelta(hours=1), needs_silence=True),
    # Different accounts, not attempts: one colleague's typing errors are one.
    Kind.ADDRESS: Limit(100, _QUARTER),
    Kind.DEVICE: Limit(5, _QUARTER),
    Kind.STEP_UP: Limit(5, _QUARTER),
    Kind.PASSWORD: Limit(5, _QUARTER),
}


@dataclass(frozen=True)
class _Subject:
    kind: LockoutCounter.Kind
    digest: bytes
    account: bytes | None = None


@dataclass(frozen=True)
class CountedAttempt:
    """What an attempt was counted against, to be taken back after a success."""

    own: _Subject
    shared: tuple[_Subject, ...] = ()


def lockout_count_attempt(
    *, email: str, client: ClientInfo, device_token: str = "", door: Door = Door.API, now: datetime
) -> CountedAttempt:
    """Counts an attempt to log in. Raises TooManyAttempts. `email` is normalised.

    Unknown accounts are counted and locked like known ones. A refused attempt counts nowhere; the
    first one of a lock is reported.
    """
    address, account = client.address, digest_of(email)
    shared: list[_Subject] = []
    if device_token_is_known(email=email, token=device_token, now=now):
        own = _Subject(Kind.DEVICE, digest_of(f"{email} {device_token}"), account)
    else:
        network = network_of(address) if address else ""
        own = _Subject(Kind.PAIR, digest_of(f"{email} {network}"), account)
        if not network_is_known(email=email, address=address, now=now):
            shared = [_Subject(Kind.ACCOUNT, account, account)]
            if network:
                shared.append(_Subject(Kind.ADDRESS, digest_of(network)))

    def report(lock: LockoutCounter) -> None:
        until = lock.window_ends_at
        lock_report(email=email, kind=Kind(lock.kind), until=until, door=door, client=client, now=now)

    counted, locked_until = _count(own, shared, now, report)
    if locked_until is not None:
        raise _refusal(locked_until, now)
    return counted


def lockout_forgive_attempt(attempt: CountedAttempt) -> None:
    """Takes a successful attempt back, and resets the count of its device, or of account and network.

    Other attempts at the account and from the network stay counted. Otherwise an attacker could reset them by logging
    in to an own account, and would get another hundred guesses with each log-in of the owner.
    """
    _row(attempt.own).delete()
    _take_back(attempt.shared)


def lockout_withdraw_attempt(attempt: CountedAttempt) -> None:
    """Takes one attempt back that was no guess, and leaves the other ones counted."""
    _take_back((attempt.own, *attempt.shared))


def step_up_count_attempt(*, session_id: UUID, now: datetime) -> None:
    """Counts an attempt at a step-up. Raises TooManyAttempts.

    A counter for each session: a stolen access token must not lock its owner out of log-in, or of other sessions.
    """
    _count_alone(Kind.STEP_UP, session_id, now)


def step_up_forgive_attempts(*, session_id: UUID) -> None:
    """Resets the count after a successful step-up."""
    _row(_of_session(Kind.STEP_UP, session_id)).delete()


def password_count_attempt(*, session_id: UUID, now: datetime) -> None:
    """Counts an attempt at a call that asks a logged-in user for the password. Raises TooManyAttempts."""
    _count_alone(Kind.PASSWORD, session_id, now)


def password_forgive_attempts(*, session_id: UUID | None) -> None:
    """Resets the count after the correct password."""
    if session_id is not None:
        _row(_of_session(Kind.PASSWORD, session_id)).delete()


def lockout_lift(*, email: str) -> None:
    """Unlocks an account, for every device and network."""
    LockoutCounter.objects.filter(account=digest_of(email)).delete()


def _count_alone(kind: LockoutCounter.Kind, session_id: UUID, now: datetime) -> None:
    def report(lock: LockoutCounter) -> None:
        user_id = UserSession.objects.values_list("user_id", flat=True).get(pk=session_id)
        until = lock.window_ends_at
        publish(UserLockedOut(user_id=user_id, door=Door.API.value, scope=kind.value, until=until), now=now)

    _, locked_until = _count(_of_session(kind, session_id), [], now, report)
    if locked_until is not None:
        raise _refusal(locked_until, now)


@transaction.atomic
def _count(
    own: _Subject, shared: Sequence[_Subject], now: datetime, report: Callable[[LockoutCounter], None]
) -> tuple[CountedAttempt, datetime | None]:
    """Counts, or returns the end of the lock. Rows are locked in one order: from the most particular on.

    `report` gets each lock whose first refused attempt this is, in the transaction that notes that it was reported.
    """
    subjects = [own, *shared]
    rows = [_locked(subject, now) for subject in subjects]
    locks = [row for row in rows if row.attempts >= LIMITS[Kind(row.kind)].attempts]
    for lock in (lock for lock in locks if not lock.is_reported):
        lock.is_reported = True
        lock.save(update_fields=["is_reported"])
        report(lock)
    if locks:
        return CountedAttempt(own), max(lock.window_ends_at for lock in locks)
    # A network is counted once for each account that it fails at.
    is_first_of_pair = rows[0].attempts == 0
    counted = [
        (subject, row)
        for subject, row in zip(subjects, rows, strict=True)
        if subject.kind != Kind.ADDRESS or is_first_of_pair
    ]
    for _, row in counted:
        limit = LIMITS[Kind(row.kind)]
        row.attempts += 1
        if limit.needs_silence or row.attempts == limit.attempts:
            row.window_ends_at = now + limit.window
        row.save(update_fields=["attempts", "window_ends_at", "is_reported"])
    return CountedAttempt(own, tuple(subject for subject, _ in counted if subject != own)), None


def _locked(subject: _Subject, now: datetime) -> LockoutCounter:
    """The subject's counter, locked, and empty if its window is over."""
    window = LIMITS[subject.kind].window
    row, _ = LockoutCounter.objects.select_for_update().get_or_create(
        kind=subject.kind,
        subject=subject.digest,
        defaults={"window_ends_at": now + window, "account": subject.account},
    )
    if row.window_ends_at <= now:
        row.attempts, row.window_ends_at, row.is_reported = 0, now + window, False
    return row


def _take_back(subjects: Iterable[_Subject]) -> None:
    for subject in subjects:
        _row(subject).filter(attempts__gt=0).update(attempts=F("attempts") - 1)


def _row(subject: _Subject) -> QuerySet[LockoutCounter]:
    return LockoutCounter.objects.filter(kind=subject.kind, subject=subject.digest)


def _of_session(kind: LockoutCounter.Kind, session_id: UUID) -> _Subject:
    return _Subject(kind, digest_of(str(session_id)))


def _refusal(locked_until: datetime, now: datetime) -> TooManyAttempts:
    return TooManyAttempts(
        locked_until=locked_until, retry_after_seconds=math.ceil((locked_until - now).total_seconds())
    )
