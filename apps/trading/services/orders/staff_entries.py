"""What entries of members of staff have in common: who makes one, and how it begins and ends."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from apps.core.errors import Conflict, Refused
from apps.trading.models.staff_entries import EntryState, StaffEntry

# An entry that has waited this long is refused; the person looks again and enters it again.
EXPIRES_AFTER = timedelta(minutes=15)

Entry = TypeVar("Entry", bound=StaffEntry)


class SecondPersonNeeded(Conflict):
    """An entry is corrected by another person than the one who made it."""

    code = "second_person_needed"


class ReasonMissing(Refused):
    code = "reason_missing"


@dataclass(frozen=True, slots=True)
class Operator:
    """Who makes an entry: `id` tells people apart, `name` is what others read."""

    id: str
    name: str


def refuse_without_reason(because: str) -> None:
    """Raises ReasonMissing."""
    if not because.strip():
        raise ReasonMissing("Say what was looked at.")


def entry_create(
    kind: type[Entry], *, operator: Operator, because: str, corrects: Entry | None, now: datetime, **about: Any
) -> Entry:
    """Stores an entry that waits to be carried out. `about` is what it is about and says."""
    return kind._default_manager.create(
        operator_id=operator.id,
        operator=operator.name,
        because=because,
        corrects=corrects,
        corrected_operator_id=corrects.operator_id if corrects else "",
        requested_at=now,
        **about,
    )


def entry_finish(
    kind: type[StaffEntry],
    entry_id: UUID,
    state: EntryState,
    *,
    code: str = "",
    message: str = "",
    now: datetime,
    **result: Any,
) -> None:
    """Stores the result of an entry. Does nothing for a finished one."""
    kind._default_manager.filter(id=entry_id, state=EntryState.REQUESTED).update(
        state=state, code=code, message=message, finished_at=now, **result
    )
