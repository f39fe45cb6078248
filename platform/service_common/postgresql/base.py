"""Django's PostgreSQL backend, with the tables of each app in the schema that the app names."""

import select
from typing import Any

from django.db.backends.postgresql.base import DatabaseWrapper as PostgresWrapper

from apps.core.process_metrics import OpenConnections
from service_common.postgresql.schema import DatabaseSchemaEditor

OPEN = OpenConnections()


class DatabaseWrapper(PostgresWrapper):
    SchemaEditorClass = DatabaseSchemaEditor

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        OPEN.opened(connection)
        return connection

    def _close(self) -> None:
        if self.connection is not None:
            OPEN.closed(self.connection)
        super()._close()  # type: ignore[misc]

    def is_usable(self) -> bool:
        """Whether the connection still works; Django asks at the beginning of each request.

        A server that has ended a connection has closed its socket, which the operating system knows without a query.
        An idle connection has nothing to read: only one that has is asked by a query, as Django asks every one.
        """
        if self.connection is None or self.connection.closed:
            return False
        waiting = select.poll()
        waiting.register(self.connection, select.POLLIN)
        return super().is_usable() if waiting.poll(0) else True
