"""Housekeeping: deletes expired rows, so that tables that strangers can fill stay bounded."""

from datetime import datetime, timedelta

from django.db.models import Q

from apps.accounts.models import LockoutCounter, OneTimeToken, OutgoingMail, UserSession

# Ended sessions, used tokens and sent mail are retained this long for questions about past activity.
KEPT = timedelta(days=30)


def accounts_purge(*, now: datetime) -> dict[str, int]:
    """Deletes expired rows. Returns the number of deleted rows by table."""
    old = now - KEPT
    expired = {
        "login_guard": LockoutCounter.objects.filter(window_ends_at__lt=now),
        "one_time_token": OneTimeToken.objects.filter(expires_at__lt=old),
        "outgoing_mail": OutgoingMail.objects.filter(created_at__lt=old),
        "user_session": UserSession.objects.filter(Q(expires_at__lt=old) | Q(revoked_at__lt=old)),
    }
    return {table: rows.delete()[0] for table, rows in expired.items()}
