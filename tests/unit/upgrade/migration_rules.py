"""What a migration may not do: processes of the release before work on the same tables, while it runs and after."""

import re
from collections.abc import Iterator, Sequence

from django.db import migrations
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED, Field

# Taken away in SQL: what an older process names in a statement
_TAKEN_AWAY = re.compile(
    r"\b(DROP\s+(TABLE|COLUMN)|RENAME\s+(COLUMN|TO)|ALTER\s+COLUMN\s+\w+\s+(SET\s+NOT\s+NULL|TYPE))\b", re.IGNORECASE
)


def broken_rules(migration: migrations.Migration, before: ProjectState) -> Iterator[str]:
    """A sentence for each operation that an older process would not survive. `before` is the state of all models."""
    state, new_models = before.clone(), set()
    for operation in _database_operations(migration.operations):
        if isinstance(operation, migrations.CreateModel):
            new_models.add(operation.name_lower)
        elif getattr(operation, "model_name_lower", None) not in new_models:
            yield from _broken(operation, migration.app_label, state)
        operation.state_forwards(migration.app_label, state)


def _database_operations(operations: Sequence[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            yield from _database_operations(operation.database_operations)
        else:
            yield operation


def _broken(operation: Operation, app: str, state: ProjectState) -> Iterator[str]:
    match operation:
        case migrations.RemoveField():
            yield f"it drops the column {operation.model_name}.{operation.name}, which older processes read."
        case migrations.RenameField():
            yield f"it renames the column {operation.model_name}.{operation.old_name}, which older processes read."
        case migrations.DeleteModel():
            yield f"it drops the table of {operation.name}, which older processes read."
        case migrations.RenameModel():
            yield f"it renames the table of {operation.old_name}, which older processes read."
        case migrations.AddField() if not _may_be_left_out(operation.field):
            yield f"older processes insert no {operation.model_name}.{operation.name}: give it null=True or db_default."
        case migrations.AlterField():
            old = state.models[app, operation.model_name_lower].fields[operation.name]
            if old.null and not _may_be_left_out(operation.field):
                yield f"older processes leave {operation.model_name}.{operation.name} empty: keep null=True."
        case migrations.RunSQL():
            statements = operation.sql if isinstance(operation.sql, str) else " ".join(map(str, operation.sql))
            if found := _TAKEN_AWAY.search(statements):
                yield f"its SQL says {found.group(0)}, and older processes use what is there."


def _may_be_left_out(field: "Field[object, object]") -> bool:
    """Whether an INSERT without the column succeeds. Django's `default` is not the database's."""
    return bool(field.null or field.many_to_many or field.db_default is not NOT_PROVIDED or field.primary_key)
