"""Removes what has had its day, so that tables which strangers can fill do not grow for ever."""

from datetime import datetime, timedelta

from django.db.models import Q

from apps.accounts.models import LoginGuard, OneTimeToken, OutgoingMail, UserSession

# Ended sessions, used tokens and mail that was sent stay this long for people who ask what happened.
KEPT = timedelta(days=30)


def accounts_purge(*, now: datetime) -> dict[str, int]:
    """Returns how many rows of each table went."""
    old = now - KEPT
    doomed = {
        "login_guard": LoginGuard.objects.filter(window_ends_at__lt=now),
        "one_time_token": OneTimeToken.objects.filter(expires_at__lt=old),
        "outgoing_mail": OutgoingMail.objects.filter(created_at__lt=old),
        "user_session": UserSession.objects.filter(Q(expires_at__lt=old) | Q(revoked_at__lt=old)),
    }
    return {table: rows.delete()[0] for table, rows in doomed.items()}
