"""Reading many rows in bounded batches, each by a short query: constant memory, and no long transaction."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.db.models import Q, QuerySet

BATCH_ROWS = 1000
# The children of so many parents are read at once.
PARENTS = 200


def in_batches(rows: QuerySet[Any], *fields: str, key: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows as dictionaries of `fields`, in the order of `key`: one or two of them that tell the rows apart.

    An index on these makes it fast. Rows that are added meanwhile may be in it or not.
    """
    ordered = rows.order_by(*key).values(*fields)
    last: dict[str, Any] | None = None
    while True:
        batch = list((ordered if last is None else ordered.filter(_after(last, key)))[:BATCH_ROWS])
        yield from batch
        if len(batch) < BATCH_ROWS:
            return
        last = batch[-1]


def with_children(
    parents: Iterator[dict[str, Any]], children: QuerySet[Any], *fields: str, parent: str, key: str, name: str
) -> Iterator[dict[str, Any]]:
    """Each parent with the `fields` of its children under `name`. `children` are in their order within a parent.

    `parent` is the field of a child that holds its parent's `key`.
    """
    while some := list(islice(parents, PARENTS)):
        of_parent: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
        for child in children.filter(**{f"{parent}__in": [each[key] for each in some]}).values(parent, *fields):
            of_parent[child.pop(parent)].append(child)
        for each in some:
            yield {**each, name: of_parent[each[key]]}


def _after(last: dict[str, Any], key: Sequence[str]) -> Q:
    first, *others = key
    if not others:
        return Q(**{f"{first}__gt": last[first]})
    (second,) = others
    # The first condition alone can use an index.
    return Q(**{f"{first}__gte": last[first]}) & (
        Q(**{f"{first}__gt": last[first]}) | Q(**{f"{second}__gt": last[second]})
    )
