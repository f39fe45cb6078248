"""Django's PostgreSQL backend, with the tables of each app in the schema that the app names."""

from django.db.backends.postgresql.base import DatabaseWrapper as PostgresWrapper

from service_common.postgresql.schema import DatabaseSchemaEditor


class DatabaseWrapper(PostgresWrapper):
    SchemaEditorClass = DatabaseSchemaEditor
