"""The mailer's backlog, for its progress watch."""

from datetime import datetime

from django.db.models import Max

from apps.accounts.models import OutgoingMail
from apps.accounts.services.mail import GIVEN_UP_AFTER, back_off
from apps.events.process.progress import Backlog

# Error of a single mailbox: the mail server works, and an operator of the platform can do nothing about it.
MAILBOX_REFUSED = "SMTPRecipientsRefused"


def mail_waiting(*, now: datetime) -> int:
    """How many mails wait to be sent, due or not."""
    return OutgoingMail.objects.filter(sent_at=None, created_at__gt=now - GIVEN_UP_AFTER).count()


def mail_backlog(*, now: datetime) -> Backlog:
    """Counts due mail, and mail that waits for a retry after a mail server failure with no success since.

    The marker changes with each mail sent.
    """
    last_sent_at = OutgoingMail.objects.aggregate(last=Max("sent_at"))["last"]
    waiting = OutgoingMail.objects.filter(sent_at=None, created_at__gt=now - GIVEN_UP_AFTER)
    due = waiting.filter(next_attempt_at__lte=now).count()
    delayed = [
        mail
        for mail in waiting.filter(next_attempt_at__gt=now).exclude(last_error__in=("", MAILBOX_REFUSED))
        if last_sent_at is None or mail.next_attempt_at - back_off(mail.attempts) > last_sent_at
    ]
    reason = "See the mailer's log."
    if delayed:
        reason = f"The mail server fails with {delayed[-1].last_error}: is MUCKARD_SMTP_URL right, and does it answer?"
    return Backlog(due + len(delayed), last_sent_at, reason)
