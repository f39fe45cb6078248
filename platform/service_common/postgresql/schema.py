"""Creates an app's tables in the schema that its AppConfig names as `db_schema`.

Table names stay unqualified: a connection finds them through its search_path, which holds only the schemas that its
role may see.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import models
from django.db.backends.postgresql.schema import DatabaseSchemaEditor as PostgresSchemaEditor

# Django's own apps (content types, permissions, admin log, sessions) belong to the accounts they speak of.
DEFAULT_SCHEMA = "users"


def schema_of(app_label: str) -> str:
    """The PostgreSQL schema that holds the tables of an app."""
    config = apps.app_configs.get(app_label)
    return getattr(config, "db_schema", DEFAULT_SCHEMA)


class DatabaseSchemaEditor(PostgresSchemaEditor):
    def create_model(self, model: type[models.Model]) -> None:
        with self._creating_in(schema_of(model._meta.app_label)):
            super().create_model(model)

    @contextmanager
    def _creating_in(self, schema: str) -> Iterator[None]:
        quoted: Any = self.quote_name(schema)
        self.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted}")
        with self.connection.cursor() as cursor:
            cursor.execute("SHOW search_path")
            before = cursor.fetchone()[0]
        self.execute(f"SET search_path TO {quoted}, {before}")
        yield
        self.execute(f"SET search_path TO {before}")
