"""Sets and lifts halts. A halt holds for every order that is marked as being sent after its commit."""

from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet

from apps.events.store.publish import publish
from apps.messages.risk import HaltLifted, HaltSet
from apps.risk.models.halts import PLATFORM_ID, Halt, HaltLevel, HaltScope, HaltSource
from apps.risk.services.locks import hold_alone

log = structlog.get_logger(__name__)


@transaction.atomic
def halt_set(
    *,
    scope: HaltScope,
    subject_id: UUID | None = None,
    user_id: UUID | None = None,
    level: HaltLevel,
    code: str,
    reason: str,
    source: HaltSource,
    set_by: str,
    now: datetime,
) -> Halt:
    """Sets the halt of one cause on a bot, key, user or the platform, and publishes `risk.halt.set`.

    `subject_id` is the bot's, key's or user's id; leave it and `user_id` (the owner) out for the platform. `code` names
    the cause for programs, such as `account_drift`; `reason` is a sentence for people. Does nothing where the same
    cause already holds at this level for this reason; otherwise the new level and reason replace it.

    Call it first in a transaction, before a run is locked and before anything is published (`services/locks.py`). It
    waits up to 20 s for orders that are being marked.
    """
    subject_id = _subject(scope, subject_id)
    hold_alone(scope, subject_id)
    before = _in_force(scope, subject_id, source, code).first()
    if before is not None and (before.level, before.reason) == (level, reason):
        return before
    if before is not None:
        _lift(before, lifted_by=set_by, because="replaced", now=now)
    halt = Halt.objects.create(
        scope=scope,
        subject_id=subject_id,
        user_id=user_id if scope != HaltScope.USER else subject_id,
        level=level,
        source=source,
        code=code,
        reason=reason,
        set_by=set_by,
        since=now,
    )
    publish(
        HaltSet(
            halt_id=halt.id,
            scope=scope,
            subject_id=subject_id,
            user_id=halt.user_id,
            level=level,
            source=source,
            code=code,
            reason=reason,
            set_by=set_by,
            set_at=now,
        ),
        now=now,
    )
    log.warning("halt_set", scope=scope, subject_id=str(subject_id), halt_level=level, code=code, set_by=set_by)
    return halt


@transaction.atomic
def halt_lift(
    *,
    scope: HaltScope,
    subject_id: UUID | None = None,
    source: HaltSource,
    code: str,
    lifted_by: str,
    because: str,
    now: datetime,
) -> Halt | None:
    """Lifts the halt of one cause on a subject, if it is in force. Other causes' halts stay."""
    subject_id = _subject(scope, subject_id)
    found = _in_force(scope, subject_id, source, code).select_for_update().first()
    if found is not None:
        _lift(found, lifted_by=lifted_by, because=because, now=now)
    return found


@transaction.atomic
def halt_lift_by_id(*, halt_id: UUID, lifted_by: str, because: str, now: datetime) -> Halt | None:
    """Lifts a halt. Does nothing where it was lifted before; None where there is none."""
    found = Halt.objects.select_for_update().filter(id=halt_id).first()
    if found is not None and found.is_in_force:
        _lift(found, lifted_by=lifted_by, because=because, now=now)
    return found


def _in_force(scope: HaltScope, subject_id: UUID, source: HaltSource, code: str) -> QuerySet[Halt]:
    """The halt of one cause, at most one."""
    return Halt.objects.filter(scope=scope, subject_id=subject_id, source=source, code=code, lifted_at=None)


def _subject(scope: HaltScope, subject_id: UUID | None) -> UUID:
    if scope == HaltScope.PLATFORM:
        return PLATFORM_ID
    assert subject_id is not None, "a halt of a bot, key or user has a subject"
    return subject_id


def _lift(halt: Halt, *, lifted_by: str, because: str, now: datetime) -> None:
    halt.lifted_at, halt.lifted_by, halt.lifted_because = now, lifted_by, because
    halt.save(update_fields=["lifted_at", "lifted_by", "lifted_because"])
    publish(
        HaltLifted(
            halt_id=halt.id,
            scope=HaltScope(halt.scope),
            subject_id=halt.subject_id,
            user_id=halt.user_id,
            code=halt.code,
            lifted_by=lifted_by,
            because=because,
            lifted_at=now,
        ),
        now=now,
    )
    log.warning("halt_lifted", scope=halt.scope, subject_id=str(halt.subject_id), code=halt.code, lifted_by=lifted_by)
