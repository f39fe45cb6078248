"""Rows of a query written by hand as instances of models, where one statement reads what several models hold."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import Model

M = TypeVar("M", bound=Model)


class ModelColumns(Generic[M]):
    """All columns of a model's table under an alias, from `start` on in each row of the query."""

    def __init__(self, model: type[M], alias: str, *, start: int = 0) -> None:
        fields = model._meta.concrete_fields
        quote = connection.ops.quote_name
        self.sql = ", ".join(f"{alias}.{quote(str(field.column))}" for field in fields)
        self.end = start + len(fields)
        self._model, self._start = model, start
        self._names = [str(field.attname) for field in fields]
        self._key = start + fields.index(model._meta.pk)
        self._converters: list[tuple[int, Any, Callable[..., Any]]] = [
            (number, field, convert)
            for number, field in enumerate(fields)
            for convert in field.get_db_converters(connection)
        ]

    def read(self, row: Sequence[Any]) -> M | None:
        """The instance in a row; None where an outer join found none."""
        if row[self._key] is None:
            return None
        values = list(row[self._start : self.end])
        for number, field, convert in self._converters:
            values[number] = convert(values[number], field, connection)
        return self._model.from_db(connection.alias, self._names, values)
