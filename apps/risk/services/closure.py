"""The halt of a closed account. It is never lifted."""

from datetime import datetime
from uuid import UUID

from apps.risk.models.halts import HaltLevel, HaltScope, HaltSource
from apps.risk.services.halts import halt_set


def closed_user_halt(*, user_id: UUID, now: datetime) -> None:
    """Halts every bot of the user, once."""
    halt_set(
        scope=HaltScope.USER,
        subject_id=user_id,
        level=HaltLevel.HALTED,
        code="user_closed",
        reason="The account is closed.",
        source=HaltSource.SYSTEM,
        set_by="accounts",
        now=now,
    )
