"""Ids on pages of the staff site lead to the pages of what they name: bot, run, order, fill, events.

By the field's name, as there are no foreign keys across domains.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from apps.core.staff.people import person_name

PEOPLE = "accounts.user"
# The model whose page an id leads to.
REFERENCES: dict[str, str] = {
    "user_id": PEOPLE,
    "owner_id": PEOPLE,
    "operator_id": PEOPLE,
    "corrected_operator_id": PEOPLE,
    "bot_id": "bots.bot",
    "run_id": "trading.botrun",
    "run": "trading.botrun",
    "order_id": "trading.orderintent",
    "order": "trading.orderintent",
    "intent": "trading.orderintent",
    "intent_id": "trading.orderintent",
    "fill_id": "trading.fill",
    "fill": "trading.fill",
    "release_id": "trading.release",
    "release": "trading.release",
    "credential_id": "vault.credential",
    "command_id": "bots.botcommand",
    "start_command_id": "bots.botcommand",
    "stop_command_id": "bots.botcommand",
    "superseded_by_id": "bots.botcommand",
    "event_id": "events.storedevent",
    "started_event_id": "events.storedevent",
    "causation_id": "events.storedevent",
}
# An id that many rows share leads to their list.
LISTS: dict[str, str] = {"correlation_id": "events.storedevent"}
_CLASSES = "text-primary-600 dark:text-primary-500"
# Of an id in a list: its end, which tells ids of one time apart.
_SHOWN_IN_LISTS = 12

Shown = Callable[[Any], SafeString]


@dataclass(frozen=True)
class Related:
    """A list of rows that belong to the object of a page: those that a search for its `field` finds."""

    title: str
    page: str
    field: str = "pk"
    parameter: str = "q"


def people_among(names: Iterable[object]) -> tuple[str, ...]:
    """The fields that name people."""
    return tuple(str(name) for name in names if REFERENCES.get(str(name)) == PEOPLE)


def is_reference(name: object) -> bool:
    return name in REFERENCES or name in LISTS


@cache
def reference(name: str, *, is_in_list: bool) -> Shown:
    """A column or a read-only field that shows the id of `name` as a link."""

    def shown(row: Any) -> SafeString:
        value = getattr(row, row._meta.get_field(name).attname)
        if value is None:
            return format_html("{}", "–")
        if name in LISTS:
            return link(list_address(LISTS[name], value), _short(value) if is_in_list else str(value))
        if REFERENCES[name] == PEOPLE:
            # Entries of staff name a person, or a command's operator.
            person = _uuid(value)
            return link(page_address(PEOPLE, value), person_name(row, person)) if person else link(None, str(value))
        return link(page_address(REFERENCES[name], value), _short(value) if is_in_list else str(value))

    shown.is_link = True  # type: ignore[attr-defined]
    return _titled(shown, name)


@cache
def own_key(name: str) -> Shown:
    """A column with the object's own key: whole, or the address of the person whose id it is."""

    def shown(row: Any) -> SafeString:
        value = row.pk
        is_person = REFERENCES.get(name) == PEOPLE and isinstance(value, UUID)
        return format_html("{}", person_name(row, value) if is_person else value)

    return _titled(shown, name)


def _titled(shown: Shown, name: str) -> Shown:
    """What Django's admin reads of a column."""
    shown.__name__ = name
    shown.short_description = name.removesuffix("_id").replace("_", " ")  # type: ignore[attr-defined]
    return shown


def related_lists(row: Any, lists: Iterable[Related]) -> SafeString:
    links = (
        (link(list_address(each.page, getattr(row, each.field), each.parameter), each.title),)
        for each in lists
        if getattr(row, each.field) is not None
    )
    return format_html_join(" · ", "{}", links)


def link(address: str | None, text: str) -> SafeString:
    if address is None:
        return format_html("{}", text)
    return format_html('<a href="{}" class="{}">{}</a>', address, _CLASSES, text)


def page_address(model: str, pk: object) -> str | None:
    """None where the site has no page of the model."""
    try:
        return reverse(f"admin:{model.replace('.', '_')}_change", args=[pk])
    except NoReverseMatch:
        return None


def list_address(model: str, term: object, parameter: str = "q") -> str | None:
    try:
        address = reverse(f"admin:{model.replace('.', '_')}_changelist")
    except NoReverseMatch:
        return None
    return f"{address}?{urlencode({parameter: str(term)})}"


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _short(value: object) -> str:
    return f"…{str(value)[-_SHOWN_IN_LISTS:]}" if isinstance(value, UUID) else str(value)
