"""Halts of any scope."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from apps.risk.models.halts import Halt, HaltLevel, HaltScope, HaltSource
from apps.risk.services.halts import halt_set


def halted(
    scope: HaltScope = HaltScope.BOT,
    subject_id: UUID | None = None,
    *,
    level: HaltLevel = HaltLevel.HALTED,
    now: datetime | None = None,
    **more: Any,
) -> Halt:
    """A halt in force, of a system component where nothing else is said."""
    facts: dict[str, Any] = {
        "subject_id": subject_id,
        "user_id": None if scope == HaltScope.PLATFORM else uuid4(),
        "code": "test",
        "reason": "Something is to be looked at.",
        "source": HaltSource.SYSTEM,
        "set_by": "test",
        "now": now or timezone.now(),
    }
    return halt_set(scope=scope, level=level, **(facts | more))
