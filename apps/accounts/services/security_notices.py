"""Security notices: events of one kind and account are folded into one row, which staff see and acknowledge."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction

from apps.accounts import metrics
from apps.accounts.errors import NoticeAlreadyAcknowledged, NoticeUnknown
from apps.accounts.models import OutgoingMail, SecurityNotice, User
from apps.accounts.services.mail import mail_queue
from apps.events.store.publish import publish
from apps.messages.security import SecurityNoticeAcknowledged

log = structlog.get_logger(__name__)

Kind, Severity = SecurityNotice.Kind, SecurityNotice.Severity

# Failures that stay below their kind's threshold for this long are forgotten.
WINDOW = timedelta(days=1)
# Nobody is mailed about what happened longer ago, as where the consumer reads Kafka from its beginning.
MAILED_WITHIN = timedelta(days=1)


@dataclass(frozen=True)
class Rule:
    """How a kind is told. `threshold`: from how many on within WINDOW. `mail` goes to the owner, again after `quiet`
    at the earliest; kinds whose change is mailed where it is made have none."""

    severity: SecurityNotice.Severity
    threshold: int = 1
    mail: OutgoingMail.Kind | None = None
    quiet: timedelta = timedelta(minutes=10)


RULES: dict[SecurityNotice.Kind, Rule] = {
    Kind.NEW_DEVICE: Rule(Severity.INFO),
    Kind.LOG_INS_FAILED: Rule(
        Severity.WARNING, threshold=20, mail=OutgoingMail.Kind.LOG_INS_FAILED, quiet=timedelta(days=1)
    ),
    Kind.UNKNOWN_LOG_INS_FAILED: Rule(Severity.WARNING, threshold=200),
    Kind.NETWORK_LOCKED_OUT: Rule(Severity.WARNING),
    Kind.SECOND_FACTOR_CHANGED: Rule(Severity.INFO),
    Kind.SECOND_FACTOR_COPIED: Rule(Severity.CRITICAL),
    Kind.EXCHANGE_KEY_CHANGED: Rule(Severity.INFO, mail=OutgoingMail.Kind.EXCHANGE_KEY_CHANGED),
    Kind.MACHINE_KEY_CHANGED: Rule(Severity.INFO, mail=OutgoingMail.Kind.MACHINE_KEY_CHANGED),
    Kind.LIVE_BOT_CREATED: Rule(Severity.INFO, mail=OutgoingMail.Kind.LIVE_BOT_CREATED),
    Kind.LIVE_SWITCHED_ON: Rule(Severity.CRITICAL),
}


@dataclass(frozen=True)
class Occurrence:
    """One event of a kind: it happened `times` times, up to `at` (UTC). `is_enough` raises the notice at once."""

    kind: SecurityNotice.Kind
    event_id: UUID
    at: datetime
    user_id: UUID | None = None
    times: int = 1
    is_enough: bool = False


@transaction.atomic
def security_notice_add(occurrence: Occurrence, *, now: datetime) -> SecurityNotice:
    """Adds to the open notice of the kind and account, or opens one. Call it once an event.

    The owner is mailed where the kind's rule says so. Raises DatabaseError.
    """
    rule = RULES[occurrence.kind]
    notice = _open_and_locked(occurrence, rule)
    if not notice.is_raised and occurrence.at - notice.first_at > WINDOW:
        notice.count, notice.first_at, notice.first_event_id = 0, occurrence.at, occurrence.event_id
    notice.count += occurrence.times
    if occurrence.at >= notice.last_at:
        notice.last_at, notice.last_event_id = occurrence.at, occurrence.event_id
    if not notice.is_raised and (occurrence.is_enough or notice.count >= rule.threshold):
        notice.is_raised = True
        metrics.notices.labels(notice.kind).inc()
        log.warning("security_notice_raised", kind=notice.kind, notice_id=str(notice.id), severity=notice.severity)
    if notice.is_raised and rule.mail is not None and occurrence.at > now - MAILED_WITHIN:
        _mail(notice, rule, now=now)
    notice.save()
    return notice


@transaction.atomic
def security_notice_acknowledge(*, notice_id: UUID, staff_id: UUID, because: str, now: datetime) -> SecurityNotice:
    """A member of staff has looked at the notice; what happens from now on is a new one.

    Raises NoticeUnknown, NoticeAlreadyAcknowledged.
    """
    notice = SecurityNotice.objects.select_for_update().filter(pk=notice_id).first()
    if notice is None:
        raise NoticeUnknown()
    if notice.acknowledged_at is not None:
        raise NoticeAlreadyAcknowledged()
    notice.acknowledged_at, notice.acknowledged_by, notice.because = now, staff_id, because
    notice.save(update_fields=["acknowledged_at", "acknowledged_by", "because"])
    publish(
        SecurityNoticeAcknowledged(
            notice_id=notice.id,
            kind=notice.kind,
            count=notice.count,
            first_event_id=notice.first_event_id,
            last_event_id=notice.last_event_id,
            staff_id=staff_id,
            because=because,
        ),
        now=now,
    )
    return notice


def _open_and_locked(occurrence: Occurrence, rule: Rule) -> SecurityNotice:
    opened = SecurityNotice(
        kind=occurrence.kind,
        severity=rule.severity,
        user_id=occurrence.user_id,
        first_event_id=occurrence.event_id,
        last_event_id=occurrence.event_id,
        first_at=occurrence.at,
        last_at=occurrence.at,
    )
    while True:
        SecurityNotice.objects.bulk_create([opened], ignore_conflicts=True)
        of_kind = SecurityNotice.objects.filter(kind=occurrence.kind, user_id=occurrence.user_id, acknowledged_at=None)
        notice = of_kind.select_for_update().first()
        # Acknowledged between the two statements: then the next one opens a new notice.
        if notice is not None:
            return notice


def _mail(notice: SecurityNotice, rule: Rule, *, now: datetime) -> None:
    assert rule.mail is not None
    if notice.user_id is None:
        return
    of_kind = SecurityNotice.objects.filter(user_id=notice.user_id, kind=notice.kind)
    if of_kind.filter(mailed_at__gt=now - rule.quiet).exists():
        return
    user = User.objects.filter(pk=notice.user_id, is_active=True).first()
    if user is not None:
        mail_queue(kind=rule.mail, email=user.email, now=now)
        notice.mailed_at = now
