"""A projection rebuilt beside the live one: temporary tables take the events, one transaction takes over the rows.

PostgreSQL finds a temporary table before any other of its name, in the session that made it and in no other, and drops
it with that session. So handlers write into the rebuilt model unchanged, all other sessions see the live one, and a
rebuild that is killed leaves nothing behind.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import Error, OperationalError, connection, models, transaction
from psycopg2 import sql
from psycopg2.errors import LockNotAvailable

from apps.core.errors import PlatformError
from apps.events.consumers.projections import Projection
from apps.events.models import DeadLetter, InboxEntry

# A killed rebuild's session ends within a second or two: that long its lock may outlive it.
_OTHER_ENDS_SECONDS = 5.0
_LOCK_ATTEMPTS = 10

_OTHERS_WRITE_NOT = sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE")
_MISSED = """
SELECT event_id FROM {inbox} AS live WHERE consumer = %s AND NOT EXISTS (
    SELECT 1 FROM pg_temp.inbox AS told WHERE told.consumer = live.consumer AND told.event_id = live.event_id)
"""
_DELETE_WRONG = """
DELETE FROM {live} AS live WHERE NOT EXISTS (
    SELECT 1 FROM {told} AS told WHERE told.{key} = live.{key} AND ({of_told}) IS NOT DISTINCT FROM ({of_live}))
"""
_INSERT_LACKING = """
INSERT INTO {live} ({columns}) SELECT {of_told} FROM {told} AS told
WHERE NOT EXISTS (SELECT 1 FROM {live} AS live WHERE live.{key} = told.{key})
"""
_NOTE_HANDLED = """
INSERT INTO {inbox} (consumer, event_id, processed_at)
SELECT consumer, event_id, now() FROM pg_temp.inbox AS told WHERE NOT EXISTS (
    SELECT 1 FROM {inbox} AS live WHERE live.consumer = told.consumer AND live.event_id = told.event_id)
ON CONFLICT DO NOTHING
"""
# Marked and not deleted: a redrive that runs meanwhile finds its letter.
_NOTE_REDRIVEN = """
UPDATE {dead_letter} AS letter SET redriven_at = now() WHERE consumer = %s AND redriven_at IS NULL
AND EXISTS (
    SELECT 1 FROM pg_temp.inbox AS told WHERE told.consumer = letter.consumer AND told.event_id = letter.event_id)
"""


class RebuildUnderWay(PlatformError):
    """Another command rebuilds the same projection now."""

    code = "rebuild_under_way"
    http_status = 409
    retryable = True


class ConsumersDoNotPause(PlatformError):
    """The rebuilt rows cannot take the place of the old ones while a transaction holds their tables."""

    code = "consumers_do_not_pause"
    http_status = 503
    retryable = True


class ShadowLost(PlatformError):
    """The session's temporary tables are gone: what handlers write now would go into the live tables."""

    code = "shadow_lost"
    http_status = 500


@dataclass(frozen=True)
class _Table:
    """A live table and the temporary one beside it, each with its schema."""

    name: str
    live: sql.Identifier
    key: str = ""
    columns: tuple[str, ...] = ()

    @property
    def told(self) -> sql.Identifier:
        return sql.Identifier("pg_temp", self.name)

    def fill(self, text: str) -> sql.Composable:
        """The statement, with the names of this table in place."""
        comma = sql.SQL(", ")
        return sql.SQL(text).format(
            live=self.live,
            told=self.told,
            key=sql.Identifier(self.key),
            columns=comma.join(sql.Identifier(column) for column in self.columns),
            of_told=comma.join(sql.Identifier("told", column) for column in self.columns),
            of_live=comma.join(sql.Identifier("live", column) for column in self.columns),
        )


class Shadow:
    """The temporary tables of one projection and of its group's inbox. Open it, and close it in every case."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._tables: list[_Table] = []
        self._inbox: sql.Composable = sql.SQL("")
        self._dead_letters: sql.Composable = sql.SQL("")

    def open(self) -> None:
        """Makes the tables, empty. Raises RebuildUnderWay."""
        self._alone()
        with transaction.atomic(), connection.cursor() as cursor:
            # So that the server notices within a second that this process was killed, whatever it computes.
            cursor.execute("SET client_connection_check_interval = '1s'")
            self._drop(cursor)
            self._dead_letters = _live(cursor, DeadLetter)
            self._inbox = _live(cursor, InboxEntry)
            self._tables = [_table(cursor, model) for model in self._projection.models]
            _run(
                cursor,
                sql.SQL(
                    "CREATE TEMPORARY TABLE inbox (LIKE {} INCLUDING DEFAULTS, PRIMARY KEY (consumer, event_id))"
                ).format(self._inbox),
            )
            for table in self._tables:
                name = sql.Identifier(table.name)
                statement = sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {} INCLUDING ALL)")
                _run(cursor, statement.format(name, table.live))

    def close(self) -> None:
        """Drops the tables: by name, or with the session where that fails."""
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                self._drop(cursor)
                cursor.execute("RESET client_connection_check_interval")
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [self._lock_name])
        except Error:
            connection.close()

    def refuse_live_tables(self) -> None:
        """Raises ShadowLost where a handler would not write into the temporary tables."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 'inbox'::regclass = to_regclass('pg_temp.inbox')")
            if cursor.fetchone() != (True,):
                raise ShadowLost("The connection to PostgreSQL was lost, and the tables of the rebuild with it.")

    def missed(self) -> set[UUID]:
        """The events that the live model knows and the rebuilt one does not."""
        with connection.cursor() as cursor:
            _run(cursor, sql.SQL(_MISSED).format(inbox=self._inbox), [self._projection.group])
            return {event_id for (event_id,) in cursor.fetchall()}

    def analyze(self) -> None:
        """Tells the planner how much there is: no vacuum process sees temporary tables."""
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE pg_temp.inbox")
            for table in self._tables:
                _run(cursor, sql.SQL("ANALYZE {}").format(table.told))

    @contextmanager
    def consumers_paused(self) -> Iterator[None]:
        """One transaction in which no consumer changes the model or its inbox: they wait at their next statement.

        Raises ConsumersDoNotPause.
        """
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL work_mem = '128MB'")
            # The inbox first, as consumers do.
            for name in (self._inbox, *(table.live for table in self._tables)):
                self._lock(cursor, name)
            yield

    def take_over(self) -> int:
        """Makes the live rows equal to the rebuilt ones, with the inbox and dead letters. Returns how many differed.

        Call it while the consumers are paused. An event that the rebuilt model does not know stays unhandled, and comes
        by its consumer.
        """
        differed = 0
        with connection.cursor() as cursor:
            for table in self._tables:
                _run(cursor, table.fill(_DELETE_WRONG))
                deleted = cursor.rowcount
                _run(cursor, table.fill(_INSERT_LACKING))
                differed += max(deleted, cursor.rowcount)
            _run(cursor, sql.SQL(_NOTE_HANDLED).format(inbox=self._inbox))
            _run(cursor, sql.SQL(_NOTE_REDRIVEN).format(dead_letter=self._dead_letters), [self._projection.group])
        return differed

    @property
    def _lock_name(self) -> str:
        return f"rebuild/{self._projection.group}"

    def _alone(self) -> None:
        deadline = time.monotonic() + _OTHER_ENDS_SECONDS
        with connection.cursor() as cursor:
            while True:
                cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [self._lock_name])
                if cursor.fetchone() == (True,):
                    return
                if time.monotonic() >= deadline:
                    raise RebuildUnderWay(
                        f"The projection {self._projection.name} is being rebuilt by another command. Wait until that "
                        "one ends, or stop it."
                    )
                time.sleep(0.1)

    def _drop(self, cursor: Any) -> None:
        for name in ("inbox", *(model._meta.db_table for model in self._projection.models)):
            _run(cursor, sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier("pg_temp", name)))

    def _lock(self, cursor: Any, name: sql.Composable) -> None:
        for _ in range(_LOCK_ATTEMPTS):
            try:
                with transaction.atomic():
                    # Requests behind this one wait as long as it does. A vacuum gives way after 1 s (deadlock_timeout).
                    cursor.execute("SET LOCAL lock_timeout = '3s'")
                    _run(cursor, _OTHERS_WRITE_NOT.format(name))
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable):
                    raise
            else:
                return
        raise ConsumersDoNotPause(
            "Some transaction holds the tables of the read model, so the rebuilt rows cannot take the place of the old "
            "ones. `SELECT * FROM pg_stat_activity` shows which; run the command again when it is over."
        )


def _live(cursor: Any, model: type[models.Model]) -> sql.Identifier:
    cursor.execute(
        "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = %s::regclass", [model._meta.db_table]
    )
    return sql.Identifier(cursor.fetchone()[0], model._meta.db_table)


def _table(cursor: Any, model: type[models.Model]) -> _Table:
    columns = {field: field.column or field.attname for field in model._meta.concrete_fields}
    key = next(column for field, column in columns.items() if field.primary_key)
    return _Table(model._meta.db_table, _live(cursor, model), key, tuple(columns.values()))


def _run(cursor: Any, statement: sql.Composable, parameters: list[Any] | None = None) -> None:
    cursor.execute(statement.as_string(cursor.connection), parameters)
