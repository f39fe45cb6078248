"""docs/database.md: every table of the platform, written from the models."""

from collections.abc import Iterator
from itertools import groupby

from django.apps import apps
from django.db import connection
from django.db.models import CheckConstraint, Field, ForeignKey, Model, UniqueConstraint

from apps.core.markdown import markdown_table

_INTRODUCTION = """\
# Database schema

One PostgreSQL database, one schema for each domain. Written from the models by `manage.py check_contracts --write`;
`make check` fails where it is stale. Which login role may do what is in [who owns what](architecture.md#who-owns-what).
Triggers, functions and partitions stand in the migrations of their apps: the event store is partitioned by month, is
written through `events.append_event` only, and refuses every change.

Domains refer to each other by id, without foreign keys. `→` names the table that a foreign key leads to."""


def as_markdown() -> str:
    """The whole page: schemas, their tables, and of each its columns and the rules that the database keeps."""
    models = sorted(
        (model for model in apps.get_models() if _is_ours(model)), key=lambda model: (_schema(model), _table(model))
    )
    parts = [_INTRODUCTION]
    for schema, tables in groupby(models, key=_schema):
        parts.append(f"## Schema {schema}")
        for model in tables:
            parts += _described(model)
    return "\n\n".join(parts) + "\n"


def _is_ours(model: type[Model]) -> bool:
    return model.__module__.startswith("apps.") and model._meta.managed and not model._meta.proxy


def _schema(model: type[Model]) -> str:
    return str(getattr(model._meta.app_config, "db_schema", "public"))


def _table(model: type[Model]) -> str:
    return str(model._meta.db_table)


def _described(model: type[Model]) -> Iterator[str]:
    yield f"### {_schema(model)}.{_table(model)}"
    text = " ".join((model.__doc__ or "").split())
    if text and not text.startswith(f"{model.__name__}("):
        yield text
    rows = [(f"`{field.column}`", _type(field), _rules(field)) for field in model._meta.concrete_fields]
    yield markdown_table(("column", "type", "rules"), rows)
    constraints = sorted(_constraints(model))
    if constraints:
        yield "\n".join(f"- {each}" for each in constraints)


def _type(field: "Field[object, object]") -> str:
    return str(field.db_type(connection) or field.get_internal_type()).split(" GENERATED")[0]


def _rules(field: "Field[object, object]") -> str:
    rules = []
    if field.primary_key:
        rules.append("primary key")
    elif field.unique:
        rules.append("unique")
    if field.null:
        rules.append("may be null")
    if isinstance(field, ForeignKey):
        rules.append(f"→ `{field.related_model._meta.db_table}`")
    return ", ".join(rules) or "–"


def _constraints(model: type[Model]) -> Iterator[str]:
    for constraint in model._meta.constraints:
        if isinstance(constraint, UniqueConstraint):
            columns = ", ".join(constraint.fields) or "an expression"
            where = " (where a condition holds)" if constraint.condition else ""
            yield f"unique: {columns}{where}: `{constraint.name}`"
        else:
            kind = "check" if isinstance(constraint, CheckConstraint) else "constraint"
            yield f"{kind}: `{constraint.name}`"
