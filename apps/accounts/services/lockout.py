"""Counts attempts to guess, per account and per network address, and refuses more of them for a while.

An attempt is counted before the password is looked at, in a transaction of its own. A hundred guesses at once are
therefore a hundred attempts, and a refused request cannot take its count back by failing.
"""

import math
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from apps.accounts.errors import TooManyAttempts
from apps.accounts.models import LoginGuard
from apps.accounts.tokens import digest_of

WINDOW = timedelta(minutes=15)

# Beyond this many within the window, everything is refused until WINDOW after the last one that was let through.
LIMITS = {LoginGuard.Kind.ACCOUNT: 5, LoginGuard.Kind.ADDRESS: 50}


def guard_admit(*, email: str, address: str | None, now: datetime) -> None:
    """Counts an attempt on an account from a network address. Raises TooManyAttempts.

    Unknown accounts are counted and locked like known ones.
    """
    if address is not None:
        _admit(LoginGuard.Kind.ADDRESS, address, now)
    _admit(LoginGuard.Kind.ACCOUNT, email, now)


def guard_forgive(*, email: str, address: str | None) -> None:
    """The attempt was good: the account starts afresh. The network address loses this one attempt and no other, or its
    owner could log in to an account of their own now and then and go on guessing at others."""
    guard_lift(email=email)
    if address is not None:
        LoginGuard.objects.filter(kind=LoginGuard.Kind.ADDRESS, subject=digest_of(address), attempts__gt=0).update(
            attempts=F("attempts") - 1
        )


def guard_lift(*, email: str) -> None:
    """Unlocks an account."""
    LoginGuard.objects.filter(kind=LoginGuard.Kind.ACCOUNT, subject=digest_of(email)).delete()


@transaction.atomic
def _count(kind: LoginGuard.Kind, subject: str, now: datetime) -> LoginGuard:
    row, _ = LoginGuard.objects.select_for_update().get_or_create(
        kind=kind, subject=digest_of(subject), defaults={"window_ends_at": now + WINDOW}
    )
    if row.window_ends_at <= now:
        row.attempts, row.window_ends_at = 0, now + WINDOW
    row.attempts += 1
    if row.attempts == LIMITS[kind]:
        row.window_ends_at = now + WINDOW
    row.save(update_fields=["attempts", "window_ends_at"])
    return row


def _admit(kind: LoginGuard.Kind, subject: str, now: datetime) -> None:
    row = _count(kind, subject, now)
    if row.attempts > LIMITS[kind]:
        raise TooManyAttempts(retry_after_seconds=math.ceil((row.window_ends_at - now).total_seconds()))
