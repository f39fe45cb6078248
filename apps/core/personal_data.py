"""Personal data of a user: apps that do not know each other register how theirs is erased and exported."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

Erase = Callable[[UUID], None]
Row = Mapping[str, Any]
Rows = Callable[[UUID], Iterator[Row]]

_erasures: dict[str, Erase] = {}
_exports: dict[str, dict[str, Rows]] = {}


def register_erasure(app: str, erase: Erase) -> None:
    """`erase` deletes an app's personal data of a user, in the caller's transaction. It may be called again."""
    _erasures[app] = erase


@transaction.atomic
def personal_data_erase(user_id: UUID) -> None:
    """Calls every registered erasure of this process."""
    for erase in _erasures.values():
        erase(user_id)


def register_exports(service: str, sections: Mapping[str, Rows]) -> None:
    """Each of `sections` reads what `service` holds of a user under its name: no secret and nothing of anybody else, in
    constant memory, with names of fields as the API has them."""
    _exports.setdefault(service, {}).update(sections)


def personal_data_of(service: str, user_id: UUID) -> Iterator[tuple[str, Iterator[Row]]]:
    """Everything that `service`, whose process this is, holds of a user: each section by name, with its rows."""
    for section, rows in _exports.get(service, {}).items():
        yield section, rows(user_id)
