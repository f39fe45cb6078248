"""Mail: queued in the transaction that causes it, sent by `manage.py run_mailer`. A request never waits for it."""

import secrets
from datetime import datetime, timedelta
from urllib.parse import urlencode

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction

from apps.accounts.mail_templates import PAGES, TEMPLATES
from apps.accounts.models import EmailChange, OneTimeToken, OutgoingMail, User
from apps.accounts.services.address_reservation import reservation_of
from apps.accounts.services.one_time_tokens import LIFETIMES, token_issue
from apps.accounts.tokens import digest_of
from apps.core.due import due
from apps.events.process.backoff import delay_seconds

log = structlog.get_logger(__name__)

Kind = OutgoingMail.Kind

# Mail that a stranger can cause by knowing an address is sent to it at most once in this time.
QUIET_TIME = timedelta(minutes=10)
STRANGERS_CAN_ASK_FOR = frozenset({Kind.ADDRESS_TAKEN, Kind.RESET_PASSWORD, Kind.EMAIL_CHANGE_CONFIRM})

# A mailer that claims a row has this long to send it. Then another mailer may claim it.
CLAIM = timedelta(minutes=2)
LONGEST_BACK_OFF = timedelta(hours=1)

# After this long a mail that no server took is given up. Its row stays for staff to see.
GIVEN_UP_AFTER = timedelta(days=1)

# The account has no address any more: these need no account, and their rows, which hold it, go with the sending.
FAREWELLS = frozenset({Kind.CLOSURE_ASKED, Kind.CLOSURE_DONE})

_PURPOSES = {
    Kind.VERIFY_EMAIL: OneTimeToken.Purpose.VERIFY_EMAIL,
    Kind.RESET_PASSWORD: OneTimeToken.Purpose.RESET_PASSWORD,
    Kind.CHOOSE_PASSWORD: OneTimeToken.Purpose.RESET_PASSWORD,
    Kind.ADDRESS_UNPROVEN: OneTimeToken.Purpose.RESET_PASSWORD,
}


def mail_queue(*, kind: OutgoingMail.Kind, email: str, now: datetime, change: EmailChange | None = None) -> None:
    """Queues a mail in the caller's transaction. Does nothing if one of this kind is already queued for the address."""
    OutgoingMail.objects.bulk_create(
        [OutgoingMail(kind=kind, email=email, email_change=change, created_at=now, next_attempt_at=now)],
        ignore_conflicts=True,
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
    if Kind(row.kind) in FAREWELLS:
        row.delete()
    else:
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
    if _was_just_sent(row, now):
        return None
    if row.email_change is not None:
        return _compose_for_change(row, row.email_change, now)
    kind = Kind(row.kind)
    if kind in FAREWELLS:
        return _message(row, kind)
    user = User.objects.filter(email=row.email, is_active=True).first()
    if user is None:
        return _about_reservation(row, now) if kind == Kind.ADDRESS_TAKEN else None
    if kind == Kind.ADDRESS_TAKEN and user.is_unproven:
        kind = Kind.ADDRESS_UNPROVEN
    purpose = _PURPOSES.get(kind)
    if purpose is None:
        return _message(row, kind)
    token = token_issue(user=user, purpose=purpose, now=now)
    return _message(row, kind, token=token, until=now + LIFETIMES[purpose])


def _compose_for_change(row: OutgoingMail, change: EmailChange, now: datetime) -> EmailMessage | None:
    """A mail of an address change, with a new code: to the new address for making it, to the old one for reverting."""
    kind = Kind(row.kind)
    user = User.objects.filter(pk=change.user_id, is_active=True).first()
    if user is None:
        return None
    if kind == Kind.EMAIL_REVERTED:
        purpose = OneTimeToken.Purpose.RESET_PASSWORD
        token = token_issue(user=user, purpose=purpose, now=now)
        return _message(row, kind, token=token, until=now + LIFETIMES[purpose])
    states = [EmailChange.State.PENDING]
    if kind == Kind.EMAIL_CHANGE_CONFIRM:
        holder = User.objects.filter(email=row.email).first()
        if holder is not None and not holder.is_unproven:
            return _message(row, Kind.ADDRESS_TAKEN)
        reservation = reservation_of(row.email, now=now)
        if reservation is not None and reservation.user_id != change.user_id:
            return _message(row, Kind.ADDRESS_RESERVED, until=reservation.revert_expires_at)
        digest, until = "confirm_digest", change.confirm_expires_at
    else:
        states.append(EmailChange.State.CHANGED)
        digest, until = "revert_digest", change.revert_expires_at
    token = secrets.token_urlsafe(32)
    is_open = EmailChange.objects.filter(pk=change.pk, state__in=states).update(**{digest: digest_of(token)})
    return _message(row, kind, token=token, until=until) if is_open else None


def _about_reservation(row: OutgoingMail, now: datetime) -> EmailMessage | None:
    """To the owner of an address that no account has, and that can be reverted to."""
    reservation = reservation_of(row.email, now=now)
    return _message(row, Kind.ADDRESS_RESERVED, until=reservation.revert_expires_at) if reservation else None


def _message(
    row: OutgoingMail, kind: OutgoingMail.Kind, *, token: str = "", until: datetime | None = None
) -> EmailMessage:
    site = settings.ENVIRONMENT.public_url.rstrip("/")
    facts = {"when": f"{row.created_at:%Y-%m-%d %H:%M} UTC", "token": token, "site": site}
    if token:
        # The page does nothing until its button is pressed: programs that check mails open links, too.
        facts["link"] = f"{site}/app/{PAGES[kind]}?{urlencode({'token': token})}"
    if until is not None:
        facts["until"] = f"{until:%Y-%m-%d %H:%M} UTC"
    subject, body = TEMPLATES[kind]
    return EmailMessage(subject=subject, body=body.format(**facts), to=[row.email])


def _was_just_sent(row: OutgoingMail, now: datetime) -> bool:
    sent = OutgoingMail.objects.filter(email=row.email, kind=row.kind, sent_at__gt=now - QUIET_TIME)
    return Kind(row.kind) in STRANGERS_CAN_ASK_FOR and sent.exists()
