"""Housekeeping: deletes expired rows, so that tables that strangers can fill stay bounded."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from apps.accounts.models import (
    EmailChange,
    KnownDevice,
    LockoutCounter,
    OneTimeToken,
    OutgoingMail,
    PasskeyChallenge,
    SecurityNotice,
    UserSession,
)
from apps.accounts.services.known_devices import REMEMBERED
from apps.accounts.services.mail import FAREWELLS, GIVEN_UP_AFTER
from apps.accounts.services.security_notices import WINDOW
from apps.core.expiry import delete_batch
from apps.events.models import ClientRecord

# Ended sessions, used tokens, sent mail and past changes of addresses are retained this long for questions about past
# activity.
KEPT = timedelta(days=30)
NOBODYS_CLIENTS_KEPT = timedelta(days=90)
# From their acknowledgement on. What staff have not acknowledged stays.
NOTICES_KEPT = timedelta(days=365)


def _known_devices(now: datetime) -> QuerySet[KnownDevice]:
    return KnownDevice.objects.filter(last_used_at__lt=now - max(REMEMBERED.values()))


def _outgoing_mail(now: datetime) -> QuerySet[OutgoingMail]:
    is_given_up = Q(created_at__lt=now - GIVEN_UP_AFTER, kind__in=FAREWELLS)
    return OutgoingMail.objects.filter(Q(created_at__lt=now - KEPT) | is_given_up)


def _user_sessions(now: datetime) -> QuerySet[UserSession]:
    return UserSession.objects.filter(Q(expires_at__lt=now - KEPT) | Q(revoked_at__lt=now - KEPT))


def _security_notices(now: datetime) -> QuerySet[SecurityNotice]:
    is_over = Q(acknowledged_at__lt=now - NOTICES_KEPT) | Q(is_raised=False, last_at__lt=now - WINDOW)
    return SecurityNotice.objects.filter(is_over)


# The rows that have expired, by table.
EXPIRED: Mapping[str, Callable[[datetime], QuerySet[Any]]] = {
    # Of requests that concern no account, such as one that locked its network: no closure erases them.
    "client_record": lambda now: ClientRecord.objects.filter(user_id=None, created_at__lt=now - NOBODYS_CLIENTS_KEPT),
    "email_change": lambda now: EmailChange.objects.filter(revert_expires_at__lt=now - KEPT),
    "known_device": _known_devices,
    "login_guard": lambda now: LockoutCounter.objects.filter(window_ends_at__lt=now),
    "one_time_token": lambda now: OneTimeToken.objects.filter(expires_at__lt=now - KEPT),
    "outgoing_mail": _outgoing_mail,
    "passkey_challenge": lambda now: PasskeyChallenge.objects.filter(expires_at__lt=now),
    "security_notice": _security_notices,
    "user_session": _user_sessions,
}


def accounts_purge(table: str, *, now: datetime) -> int:
    """Deletes a batch of the expired rows of a table of EXPIRED. Returns how many: call it again until that is 0."""
    return delete_batch(EXPIRED[table](now))
