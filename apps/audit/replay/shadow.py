"""Shadow tables of a projection: temporary tables take the events, then one transaction replaces the live rows.

In the session that created it, a temporary table takes precedence over other tables of its name; other sessions do not
see it, and PostgreSQL drops it with the session. So the handlers write into the shadow tables without a change, other
sessions see the live ones, and a killed rebuild leaves nothing behind.
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

# The session of a killed rebuild, and with it its lock, ends within a second or two.
_LOCK_WAIT_SECONDS = 5.0
_LOCK_ATTEMPTS = 10

_BLOCK_WRITERS = sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE")
_MISSED = """
SELECT event_id FROM {inbox} AS live WHERE consumer = %s AND NOT EXISTS (
    SELECT 1 FROM pg_temp.inbox AS rebuilt
     WHERE rebuilt.consumer = live.consumer AND rebuilt.event_id = live.event_id)
"""
_DELETE_DIFFERING = """
DELETE FROM {live} AS live WHERE NOT EXISTS (
    SELECT 1 FROM {rebuilt} AS rebuilt
     WHERE rebuilt.{key} = live.{key} AND ({of_rebuilt}) IS NOT DISTINCT FROM ({of_live}))
"""
_INSERT_MISSING = """
INSERT INTO {live} ({columns}) SELECT {of_rebuilt} FROM {rebuilt} AS rebuilt
WHERE NOT EXISTS (SELECT 1 FROM {live} AS live WHERE live.{key} = rebuilt.{key})
"""
_MARK_HANDLED = """
INSERT INTO {inbox} (consumer, event_id, processed_at)
SELECT consumer, event_id, now() FROM pg_temp.inbox AS rebuilt WHERE NOT EXISTS (
    SELECT 1 FROM {inbox} AS live WHERE live.consumer = rebuilt.consumer AND live.event_id = rebuilt.event_id)
ON CONFLICT DO NOTHING
"""
# Dead letters are marked, not deleted: a redrive that runs at the same time finds its letter.
_MARK_REDRIVEN = """
UPDATE {dead_letter} AS letter SET redriven_at = now() WHERE consumer = %s AND redriven_at IS NULL
AND EXISTS (
    SELECT 1 FROM pg_temp.inbox AS rebuilt
     WHERE rebuilt.consumer = letter.consumer AND rebuilt.event_id = letter.event_id)
"""


class RebuildUnderWay(PlatformError):
    """Another command is rebuilding the same projection."""

    code = "rebuild_under_way"
    http_status = 409
    retryable = True


class ConsumersDoNotPause(PlatformError):
    """A transaction holds the live tables, so that the rebuilt rows cannot replace the old ones."""

    code = "consumers_do_not_pause"
    http_status = 503
    retryable = True


class ShadowLost(PlatformError):
    """The session's temporary tables are gone: handlers would write into the live tables."""

    code = "shadow_lost"
    http_status = 500


@dataclass(frozen=True)
class _Table:
    """A live table and its shadow table of the same name."""

    name: str
    live: sql.Identifier
    key: str = ""
    columns: tuple[str, ...] = ()

    @property
    def rebuilt(self) -> sql.Identifier:
        return sql.Identifier("pg_temp", self.name)

    def fill(self, text: str) -> sql.Composable:
        """The statement with the names of this table filled in."""
        comma = sql.SQL(", ")
        return sql.SQL(text).format(
            live=self.live,
            rebuilt=self.rebuilt,
            key=sql.Identifier(self.key),
            columns=comma.join(sql.Identifier(column) for column in self.columns),
            of_rebuilt=comma.join(sql.Identifier("rebuilt", column) for column in self.columns),
            of_live=comma.join(sql.Identifier("live", column) for column in self.columns),
        )


class Shadow:
    """The shadow tables of one projection and of its consumer group's inbox. Call `close` after `open`, always."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._tables: list[_Table] = []
        self._inbox: sql.Composable = sql.SQL("")
        self._dead_letters: sql.Composable = sql.SQL("")

    def open(self) -> None:
        """Creates the empty tables. Raises RebuildUnderWay."""
        self._lock_rebuild()
        with transaction.atomic(), connection.cursor() as cursor:
            # The server notices within a second, also during a long statement, that this process was killed.
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
        """Drops the tables. If that fails it closes the session, which drops them too."""
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                self._drop(cursor)
                cursor.execute("RESET client_connection_check_interval")
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [self._lock_name])
        except Error:
            connection.close()

    def refuse_live_tables(self) -> None:
        """Raises ShadowLost if handlers would write into the live tables."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 'inbox'::regclass = to_regclass('pg_temp.inbox')")
            if cursor.fetchone() != (True,):
                raise ShadowLost("The connection to PostgreSQL was lost, and the tables of the rebuild with it.")

    def missed(self) -> set[UUID]:
        """The events that the live model has handled and the rebuilt one has not."""
        with connection.cursor() as cursor:
            _run(cursor, sql.SQL(_MISSED).format(inbox=self._inbox), [self._projection.group])
            return {event_id for (event_id,) in cursor.fetchall()}

    def analyze(self) -> None:
        """Updates the planner's statistics: autovacuum does not process temporary tables."""
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE pg_temp.inbox")
            for table in self._tables:
                _run(cursor, sql.SQL("ANALYZE {}").format(table.rebuilt))

    @contextmanager
    def consumers_paused(self) -> Iterator[None]:
        """One transaction in which no consumer changes the model or its inbox: their statements wait for its locks.

        Raises ConsumersDoNotPause.
        """
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL work_mem = '128MB'")
            # The inbox first: the lock order of the consumers.
            for name in (self._inbox, *(table.live for table in self._tables)):
                self._lock(cursor, name)
            yield

    def take_over(self) -> int:
        """Makes the live rows equal to the rebuilt ones, and updates inbox and dead letters. Returns how many differed.

        Call it while the consumers are paused. An event that the rebuilt model has not handled stays unhandled; its
        consumer delivers it.
        """
        differed = 0
        with connection.cursor() as cursor:
            for table in self._tables:
                _run(cursor, table.fill(_DELETE_DIFFERING))
                deleted = cursor.rowcount
                _run(cursor, table.fill(_INSERT_MISSING))
                differed += max(deleted, cursor.rowcount)
            _run(cursor, sql.SQL(_MARK_HANDLED).format(inbox=self._inbox))
            _run(cursor, sql.SQL(_MARK_REDRIVEN).format(dead_letter=self._dead_letters), [self._projection.group])
        return differed

    @property
    def _lock_name(self) -> str:
        return f"rebuild/{self._projection.group}"

    def _lock_rebuild(self) -> None:
        deadline = time.monotonic() + _LOCK_WAIT_SECONDS
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
                    # Later lock requests queue behind this one. An autovacuum yields after 1 s (deadlock_timeout).
                    cursor.execute("SET LOCAL lock_timeout = '3s'")
                    _run(cursor, _BLOCK_WRITERS.format(name))
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
