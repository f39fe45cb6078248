"""Kafka consumers: a disabled user's bots send no order, until the user is enabled again."""

from apps.events.consumers.registry import consumes
from apps.messages.envelope import Envelope
from apps.messages.user import UserClosed, UserDisabled, UserEnabled
from apps.risk.models.halts import HaltLevel, HaltScope, HaltSource
from apps.risk.services.closure import closed_user_halt
from apps.risk.services.halts import halt_lift, halt_set

HALTS = "kraken.halts"

USER_DISABLED = "user_disabled"


# A replay must neither set a halt that has been lifted since, nor publish anything again.
@consumes(UserDisabled, group=HALTS, has_outside_effects=True)
def user_disabled(message: UserDisabled, _: Envelope) -> None:
    halt_set(
        scope=HaltScope.USER,
        subject_id=message.user_id,
        level=HaltLevel.HALTED,
        code=USER_DISABLED,
        reason="The account is disabled.",
        source=HaltSource.SYSTEM,
        set_by="accounts",
        now=message.disabled_at,
    )


@consumes(UserEnabled, group=HALTS, has_outside_effects=True)
def user_enabled(message: UserEnabled, _: Envelope) -> None:
    halt_lift(
        scope=HaltScope.USER,
        subject_id=message.user_id,
        source=HaltSource.SYSTEM,
        code=USER_DISABLED,
        lifted_by="accounts",
        because="The account is enabled again.",
        now=message.enabled_at,
    )


@consumes(UserClosed, group=HALTS, has_outside_effects=True)
def user_closed(message: UserClosed, _: Envelope) -> None:
    closed_user_halt(user_id=message.user_id, now=message.closed_at)
