"""Halts that users and staff set and lift. Components of the platform call `apps/risk` themselves."""

from datetime import datetime
from uuid import UUID

from apps.bots.adapters import credential_user
from apps.bots.models import Bot
from apps.bots.rules import check_credential_known
from apps.bots.selectors.bots import bot_get
from apps.bots.selectors.halts import halt_get
from apps.core.errors import Malformed
from apps.risk.errors import HaltNotYours
from apps.risk.models.halts import PLATFORM_ID, Halt, HaltLevel, HaltScope, HaltSource
from apps.risk.selectors import halt_sentence
from apps.risk.services.halts import halt_lift_by_id, halt_set

# The cause of every halt that a person sets: a second one on the same subject replaces the first.
REQUESTED = "requested"


def halt_set_by_user(
    *,
    user_id: UUID,
    scope: HaltScope,
    level: HaltLevel,
    reason: str,
    now: datetime,
    bot_id: UUID | None = None,
    credential_id: UUID | None = None,
) -> Halt:
    """Halts one of the user's bots, every bot of one of their keys, or all of theirs.

    Raises Malformed where the ids do not fit the scope, BotNotFound, UnknownCredential.
    """
    wanted = {HaltScope.BOT: bot_id, HaltScope.KEY: credential_id, HaltScope.USER: user_id}
    given = {HaltScope.BOT: bot_id, HaltScope.KEY: credential_id}
    subject_id = wanted[scope]
    if subject_id is None or any(value is not None for each, value in given.items() if each != scope):
        raise Malformed(
            "Say `bot_id` for a halt of a bot, `credential_id` for one of a key, and neither for all your bots."
        )
    if scope == HaltScope.BOT:
        bot_get(bot_id=subject_id, user_id=user_id)
    elif scope == HaltScope.KEY:
        check_credential_known(credential_id=subject_id, user_id=user_id)
    return halt_set(
        scope=scope,
        subject_id=subject_id,
        user_id=user_id,
        level=level,
        code=REQUESTED,
        reason=reason or "You asked for it.",
        source=HaltSource.USER,
        set_by=str(user_id),
        now=now,
    )


def halt_lift_by_user(*, halt_id: UUID, user_id: UUID, now: datetime) -> None:
    """Lifts a halt that the user set. Does nothing where it was lifted before.

    Raises HaltNotFound, HaltNotYours where staff or the platform set it.
    """
    halt = halt_get(halt_id=halt_id, user_id=user_id)
    if halt.source != HaltSource.USER:
        who = "Staff" if halt.source == HaltSource.STAFF else "The platform"
        raise HaltNotYours(
            f"{who} set this halt, and only they lift it. {halt_sentence(halt)}",
            halt_id=str(halt.id),
            set_by=halt.source,
            code=halt.code,
        )
    halt_lift_by_id(halt_id=halt_id, lifted_by=str(user_id), because="The user lifted it.", now=now)


def halt_set_by_staff(
    *, scope: HaltScope, subject_id: UUID | None, level: HaltLevel, reason: str, staff: str, now: datetime
) -> Halt:
    """Halts a bot, a key, a user or the whole platform. Raises Malformed where the subject is not known."""
    user_id = None if scope == HaltScope.PLATFORM else subject_owner(scope, subject_id)
    return halt_set(
        scope=scope,
        subject_id=PLATFORM_ID if scope == HaltScope.PLATFORM else subject_id,
        user_id=user_id,
        level=level,
        code=REQUESTED,
        reason=reason,
        source=HaltSource.STAFF,
        set_by=staff,
        now=now,
    )


def subject_owner(scope: HaltScope, subject_id: UUID | None) -> UUID:
    """The user whose bot or key it is, or who it is. Raises Malformed where the subject is not known."""
    owner = None
    if subject_id is not None and scope == HaltScope.BOT:
        owner = Bot.objects.filter(id=subject_id).values_list("user_id", flat=True).first()
    elif subject_id is not None and scope == HaltScope.KEY:
        owner = credential_user(subject_id)
    elif scope == HaltScope.USER:
        owner = subject_id
    if owner is None:
        raise Malformed(f"There is no such {scope}. Give its id.")
    return owner
