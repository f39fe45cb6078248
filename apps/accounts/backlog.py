"""What waits for the mailer, as the watch over its progress wants it."""

from datetime import datetime

from django.db.models import Max

from apps.accounts.models import OutgoingMail
from apps.accounts.services.mail import GIVEN_UP_AFTER, back_off
from apps.events.process.progress import Backlog

# Of one mailbox: no fault of the mail server, and nothing that an operator of the platform could mend.
MAILBOX_REFUSED = "SMTPRecipientsRefused"


def mail_backlog(*, now: datetime) -> Backlog:
    """Mail that is due, and mail that waits for its next try because the mail server failed and has not worked since.

    Each mail that is sent changes the marker.
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
