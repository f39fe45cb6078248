"""Lockout: counts login attempts per account and per network address, and refuses more than a limit.

An attempt is counted before the password is checked, in a transaction of its own. A hundred concurrent guesses are
therefore a hundred attempts, and a refused request does not roll its count back.
"""

import math
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F

from apps.accounts.errors import TooManyAttempts
from apps.accounts.models import LockoutCounter
from apps.accounts.tokens import digest_of

WINDOW = timedelta(minutes=15)

# More attempts than this within a window are refused until WINDOW after the last attempt that was allowed.
LIMITS = {LockoutCounter.Kind.ACCOUNT: 5, LockoutCounter.Kind.ADDRESS: 50, LockoutCounter.Kind.STEP_UP: 5}


def lockout_count_attempt(*, email: str, address: str | None, now: datetime) -> None:
    """Counts an attempt against the account and the network address. Raises TooManyAttempts.

    Unknown accounts are counted and locked like known ones.
    """
    if address is not None:
        _count_or_refuse(LockoutCounter.Kind.ADDRESS, address, now)
    _count_or_refuse(LockoutCounter.Kind.ACCOUNT, email, now)


def lockout_forgive_attempt(*, email: str, address: str | None) -> None:
    """Takes back a successful attempt: resets the account's count, and subtracts this one attempt from the address's.

    The address's other attempts stay counted. Otherwise an attacker could reset them by logging in to an own account.
    """
    lockout_lift(email=email)
    if address is not None:
        LockoutCounter.objects.filter(
            kind=LockoutCounter.Kind.ADDRESS, subject=digest_of(address), attempts__gt=0
        ).update(attempts=F("attempts") - 1)


def step_up_count_attempt(*, user_id: UUID, now: datetime) -> None:
    """Counts an attempt at a step-up. Raises TooManyAttempts.

    A counter of its own: a stolen access token must not lock its owner out of log-in.
    """
    _count_or_refuse(LockoutCounter.Kind.STEP_UP, str(user_id), now)


def step_up_forgive_attempts(*, user_id: UUID) -> None:
    """Resets the count after a successful step-up."""
    LockoutCounter.objects.filter(kind=LockoutCounter.Kind.STEP_UP, subject=digest_of(str(user_id))).delete()


def lockout_lift(*, email: str) -> None:
    """Unlocks an account: resets its count."""
    LockoutCounter.objects.filter(kind=LockoutCounter.Kind.ACCOUNT, subject=digest_of(email)).delete()


@transaction.atomic
def _count(kind: LockoutCounter.Kind, subject: str, now: datetime) -> LockoutCounter:
    row, _ = LockoutCounter.objects.select_for_update().get_or_create(
        kind=kind, subject=digest_of(subject), defaults={"window_ends_at": now + WINDOW}
    )
    if row.window_ends_at <= now:
        row.attempts, row.window_ends_at = 0, now + WINDOW
    row.attempts += 1
    if row.attempts == LIMITS[kind]:
        row.window_ends_at = now + WINDOW
    row.save(update_fields=["attempts", "window_ends_at"])
    return row


def _count_or_refuse(kind: LockoutCounter.Kind, subject: str, now: datetime) -> None:
    row = _count(kind, subject, now)
    if row.attempts > LIMITS[kind]:
        raise TooManyAttempts(retry_after_seconds=math.ceil((row.window_ends_at - now).total_seconds()))
