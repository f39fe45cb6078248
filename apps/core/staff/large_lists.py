"""Lists of the staff site that stay fast with a million rows.

Pages follow each other by key: an offset would read every row before it. The count is exact up to EXACT_UP_TO and an
estimate above. Searches are for whole values of indexed columns, filters likewise, and no column sorts.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apps.core.ids import first_id_at
from apps.core.staff.people import name_people, person_find
from apps.core.staff.references import PEOPLE, REFERENCES, people_among

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = object
    from unfold.views import ChangeList

EXACT_UP_TO = 10_000
AFTER, BEFORE = "_after", "_before"
_SEPARATOR = "~"
_ESTIMATE = """
SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class
 WHERE oid IN (SELECT relid FROM pg_partition_tree(%s::regclass) WHERE isleaf UNION SELECT %s::regclass)
"""


@dataclass(frozen=True)
class RowCount:
    rows: int
    is_exact: bool


def row_count(rows: QuerySet[Any]) -> RowCount:
    """Reads at most EXACT_UP_TO rows; above, asks the statistics of PostgreSQL."""
    rows = rows.order_by()
    counted = rows[: EXACT_UP_TO + 1].count()
    if counted <= EXACT_UP_TO:
        return RowCount(counted, is_exact=True)
    estimate = _planned(rows) if rows.query.where else _of_table(rows.model)
    return RowCount(max(estimate, counted), is_exact=False)


def _of_table(model: type[Model]) -> int:
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(_ESTIMATE, [table, table])
        return int(cursor.fetchone()[0])


def _planned(rows: QuerySet[Any]) -> int:
    plan = json.loads(rows.values("pk").explain(format="json"))
    return int(plan[0]["Plan"]["Plan Rows"])


class StaffList(ChangeList):
    """Knows the people of its rows by one query."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        names = (getattr(column, "__name__", column) for column in self.list_display)
        people = people_among(names)
        if people:
            self.result_list = list(self.result_list)
            name_people(self.result_list, people)


class KeysetList(StaffList):
    """`next_page` and `previous_page` are query strings, or None at an end."""

    next_page: str | None = None
    previous_page: str | None = None
    count_is_exact = True

    def get_filters_params(self, params: Any = None) -> Any:
        return {
            name: value for name, value in super().get_filters_params(params).items() if name not in (AFTER, BEFORE)
        }

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        """A link that changes a filter begins at the first page."""
        return super().get_query_string(new_params, [*(remove or ()), AFTER, BEFORE])

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        return [f"-{name}" for name in self._key_fields()]

    def get_ordering_field_columns(self) -> Any:
        return {}

    def get_results(self, request: HttpRequest) -> None:
        after, before = self.params.get(AFTER), self.params.get(BEFORE)
        rows, size = self.queryset, self.list_per_page
        if before:
            rows = rows.filter(self._beyond(before, "gt")).order_by(*self._key_fields())
        elif after:
            rows = rows.filter(self._beyond(after, "lt"))
        found = list(rows[: size + 1])
        has_more, found = len(found) > size, found[:size]
        if before:
            found.reverse()
        self._link(found, is_last=not has_more and not before, is_first=not after and not (before and has_more))
        count = row_count(self.queryset)
        self.result_list = found
        self.result_count, self.count_is_exact = count.rows, count.is_exact
        self.full_result_count = None
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True
        self.paginator = self.model_admin.get_paginator(request, self.queryset, size)
        name_people(found, people_among(getattr(column, "__name__", column) for column in self.list_display))

    def _key_fields(self) -> Sequence[str]:
        page: Any = self.model_admin
        fields: Sequence[str] = page.get_keyset(self.params)
        return fields

    def _link(self, rows: Sequence[Any], *, is_last: bool, is_first: bool) -> None:
        if rows and not is_last:
            self.next_page = self.get_query_string({AFTER: self._key_of(rows[-1])})
        if rows and not is_first:
            self.previous_page = self.get_query_string({BEFORE: self._key_of(rows[0])})

    def _key_of(self, row: Any) -> str:
        values = (getattr(row, self._field(name).attname) for name in self._key_fields())
        return _SEPARATOR.join(each.isoformat() if hasattr(each, "isoformat") else str(each) for each in values)

    def _beyond(self, key: str, comparison: str) -> Q:
        """Rows after (`lt`) or before (`gt`) the key, in an order that an index of its first field serves."""
        names, texts = self._key_fields(), key.split(_SEPARATOR)
        if len(names) != len(texts):
            raise IncorrectLookupParameters(key)
        try:
            values = [self._field(name).to_python(text) for name, text in zip(names, texts, strict=True)]
        except ValidationError as error:
            raise IncorrectLookupParameters(error) from error
        beyond = Q(**{f"{names[-1]}__{comparison}": values[-1]})
        for name, value in zip(names[-2::-1], values[-2::-1], strict=True):
            beyond = Q(**{f"{name}__{comparison}e": value}) & (Q(**{f"{name}__{comparison}": value}) | beyond)
        return beyond

    def _field(self, name: str) -> Any:
        return self.opts.pk if name == "pk" else self.opts.get_field(name)


class LargeTable(ModelAdmin):
    """Mixin of the admin of a large table. Ids are UUIDs of version 7 or numbers: they sort by age.

    `keysets` has the fields of an index by the name of the filter that it serves; without one of these filters the
    primary key orders the list. `search_keys` are lookups of whole values, each served by an index.
    """

    list_per_page = 50
    show_full_result_count = False
    list_disable_select_all = True
    sortable_by = ()
    change_list_template = "core/staff/large_list.html"
    search_help_text = "A whole id"
    keysets: Mapping[str, Sequence[str]] = {}
    search_keys: Sequence[str] = ("pk",)

    def get_changelist(self, request: HttpRequest, **options: Any) -> Any:
        return KeysetList

    def get_keyset(self, params: Mapping[str, Any]) -> Sequence[str]:
        return next((fields for name, fields in self.keysets.items() if name in params), ("pk",))

    def get_search_fields(self, request: HttpRequest) -> Any:
        return self.search_keys

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        """The rows where the first key matches that matches any. One key at a time: each has an index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        for lookup in self.search_keys:
            value = self._searched(lookup, term)
            if value is not None:
                found = queryset.filter(**self.search_filter(lookup, value))
                if found.exists():
                    return found, False
        return queryset.none(), False

    def search_filter(self, lookup: str, value: Any) -> dict[str, Any]:
        return {lookup: value}

    def _searched(self, lookup: str, term: str) -> Any:
        """The term as a value of the lookup's field, None where it cannot be one."""
        name = lookup.partition("__")[0]
        if "@" in term and REFERENCES.get(name) == PEOPLE:
            return person_find(term)
        meta = self.model._meta
        try:
            return (meta.pk if name == "pk" else meta.get_field(name)).to_python(term)
        except ValidationError:
            return None


class Since(admin.SimpleListFilter):
    """By the time in the primary key, a UUID of version 7."""

    title = "time"
    parameter_name = "since"
    _SPANS: ClassVar = {
        "hour": timedelta(hours=1),
        "day": timedelta(days=1),
        "week": timedelta(days=7),
        "month": timedelta(days=30),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("hour", "past hour"), ("day", "past 24 hours"), ("week", "past 7 days"), ("month", "past 30 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        span = self._SPANS.get(self.value() or "")
        return None if span is None else queryset.filter(pk__gte=first_id_at(timezone.now() - span))


def one_of(field: str, values: Callable[[], Sequence[str]]) -> type[admin.SimpleListFilter]:
    """A filter by values that are known without reading the table: Django's own reads all rows for them."""

    class OneOf(admin.SimpleListFilter):
        title = field.replace("_", " ")
        parameter_name = field

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return [(value, value) for value in values()]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
            return queryset.filter(**{field: self.value()}) if self.value() else None

    return OneOf
