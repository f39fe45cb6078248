"""People on pages of the staff site: by their e-mail address, where a row has only an id.

The app that knows accounts registers how to find them (apps/accounts/staff_people.py): there are no foreign keys across
domains. A page asks once for all its rows.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

# Where a row keeps the addresses of the people whom it names, by id.
_KEPT = "_people"


@dataclass(frozen=True)
class Directory:
    """`emails` gives the addresses of those ids that have an account, `find` the id of a whole address."""

    emails: Callable[[set[UUID]], dict[UUID, str]]
    find: Callable[[str], UUID | None]


_directory: Directory | None = None


def people_are_in(directory: Directory) -> None:
    """Replaces the directory before."""
    global _directory  # noqa: PLW0603 (one for the process)
    _directory = directory


def name_people(rows: Iterable[Any], fields: Iterable[str]) -> None:
    """Keeps on each row the addresses of the people in its `fields`, by one query for all rows."""
    fields, rows = tuple(fields), list(rows)
    ids = {value for row in rows for name in fields if isinstance(value := getattr(row, name, None), UUID)}
    emails = _directory.emails(ids) if _directory and ids else {}
    for row in rows:
        row.__dict__[_KEPT] = emails


def person_name(row: Any, person_id: UUID) -> str:
    """The address, or the id where there is no such account any more."""
    kept: dict[UUID, str] | None = row.__dict__.get(_KEPT)
    if kept is None:
        kept = _directory.emails({person_id}) if _directory else {}
    return kept.get(person_id, str(person_id))


def person_find(email: str) -> UUID | None:
    return _directory.find(email) if _directory else None
