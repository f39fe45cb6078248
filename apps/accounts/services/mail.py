"""Mail: queued in the transaction that causes it, sent by `manage.py run_mailer`. A request never waits for it."""

from datetime import datetime, timedelta

import structlog
from django.core.mail import EmailMessage
from django.db import transaction

from apps.accounts.mail_templates import TEMPLATES
from apps.accounts.models import OneTimeToken, OutgoingMail, User
from apps.accounts.services.one_time_tokens import LIFETIMES, token_issue
from apps.core.due import due
from apps.events.process.backoff import delay_seconds

log = structlog.get_logger(__name__)

Kind = OutgoingMail.Kind

# Mail that a stranger can cause by knowing an address is sent to it at most once in this time.
QUIET_TIME = timedelta(minutes=10)
STRANGERS_CAN_ASK_FOR = frozenset({Kind.ADDRESS_TAKEN, Kind.RESET_PASSWORD})

# A mailer that claims a row has this long to send it. Then another mailer may claim it.
CLAIM = timedelta(minutes=2)
LONGEST_BACK_OFF = timedelta(hours=1)

# After this long a mail that no server took is given up. Its row stays for staff to see.
GIVEN_UP_AFTER = timedelta(days=1)

_PURPOSES = {
    Kind.VERIFY_EMAIL: OneTimeToken.Purpose.VERIFY_EMAIL,
    Kind.RESET_PASSWORD: OneTimeToken.Purpose.RESET_PASSWORD,
}


def mail_queue(*, kind: OutgoingMail.Kind, email: str, now: datetime) -> None:
    """Queues a mail in the caller's transaction. Does nothing if one of this kind is already queued for the address."""
    OutgoingMail.objects.bulk_create(
        [OutgoingMail(kind=kind, email=email, created_at=now, next_attempt_at=now)], ignore_conflicts=True
    )


def mail_send_due(*, now: datetime) -> bool:
    """Sends the mail that has been due longest. Returns False if none is due.

    At-least-once: if the mailer dies between the mail server's response and the saving of `sent_at`, it is sent again.
    """
    row = _claim(now)
    if row is None:
        return False
    message = _compose(row, now)
    if message is None:
        row.delete()
        return True
    # No transaction here: the mail server may take long.
    try:
        message.send()
    except OSError as error:  # smtplib's errors are OSErrors
        row.last_error = type(error).__name__
        row.save(update_fields=["last_error"])
        log.warning("mail_not_sent", mail_id=str(row.id), kind=row.kind, attempts=row.attempts, error=row.last_error)
        return True
    row.sent_at, row.last_error = now, ""
    row.save(update_fields=["sent_at", "last_error"])
    log.info("mail_sent", mail_id=str(row.id), kind=row.kind)
    return True


@transaction.atomic
def _claim(now: datetime) -> OutgoingMail | None:
    waiting = OutgoingMail.objects.filter(sent_at=None, created_at__gt=now - GIVEN_UP_AFTER)
    attempt_due = waiting.filter(due("next_attempt_at", now=now, at_most=LONGEST_BACK_OFF))
    row = attempt_due.select_for_update(skip_locked=True).order_by("next_attempt_at").first()
    if row is None:
        return None
    row.attempts += 1
    row.next_attempt_at = now + back_off(row.attempts)
    row.save(update_fields=["attempts", "next_attempt_at"])
    return row


def back_off(attempts: int) -> timedelta:
    """Exponential backoff: the delay after attempt number `attempts`, which starts at 1."""
    seconds = delay_seconds(attempts, first_seconds=CLAIM.total_seconds(), max_seconds=LONGEST_BACK_OFF.total_seconds())
    return timedelta(seconds=seconds)


def _compose(row: OutgoingMail, now: datetime) -> EmailMessage | None:
    """The mail, with a new token if its template has one. None if it must not be sent."""
    user = User.objects.filter(email=row.email, is_active=True).first()
    if user is None or _was_just_sent(row, now):
        return None
    kind = Kind(row.kind)
    purpose = _PURPOSES.get(kind)
    facts = {"when": f"{row.created_at:%Y-%m-%d %H:%M} UTC"}
    if purpose is not None:
        facts["token"] = token_issue(user=user, purpose=purpose, now=now)
        facts["until"] = f"{now + LIFETIMES[purpose]:%Y-%m-%d %H:%M} UTC"
    subject, body = TEMPLATES[kind]
    return EmailMessage(subject=subject, body=body.format(**facts), to=[user.email])


def _was_just_sent(row: OutgoingMail, now: datetime) -> bool:
    sent = OutgoingMail.objects.filter(email=row.email, kind=row.kind, sent_at__gt=now - QUIET_TIME)
    return Kind(row.kind) in STRANGERS_CAN_ASK_FOR and sent.exists()
