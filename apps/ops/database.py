"""Makes the database as apps.ops.database_roles describes it: schemas, login roles, grants, partitions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from psycopg2 import sql

from apps.ops.database_roles import ALL_TABLES, GRANTED_BY_NAME, OWNER_SEARCH_PATH, ROLES, SCHEMAS, DatabaseRole, Grant

# Roles belong to the whole cluster: two set-ups at once would trip over each other.
_SETUP_LOCK = 7_262_013
_WHOLE_SETUP_LOCK = 7_262_014


def ensure_schemas_and_roles() -> None:
    """Creates what is missing and sets the passwords. Needs the owner's login with CREATEROLE."""
    with _alone() as cursor:
        for schema in SCHEMAS:
            _run(cursor, "CREATE SCHEMA IF NOT EXISTS {}", sql.Identifier(schema))
        for role in ROLES.values():
            _ensure_role(cursor, role)


def apply_grants() -> None:
    """Gives each role exactly what the table says, after taking everything away: at once, as services see it, so that
    none that is at work is ever without its rights."""
    with _alone() as cursor:
        for role in ROLES.values():
            _apply_role(cursor, role)


def ensure_partitions() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT events.ensure_partitions()")


@contextmanager
def alone(say: Callable[[str], object]) -> Iterator[None]:
    """No other set-up of this database beside it while the block runs, migrations and all.

    PostgreSQL keeps the lock for a session, so it ends with the process that holds it."""
    # Its own connection: migrations may close the default one.
    session = connections.create_connection(DEFAULT_DB_ALIAS)
    try:
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [_WHOLE_SETUP_LOCK])
            if not cursor.fetchone()[0]:
                say("Another set-up of this database is under way; waiting for its end.")
                cursor.execute("SET lock_timeout = 0")
                cursor.execute("SELECT pg_advisory_lock(%s)", [_WHOLE_SETUP_LOCK])
            yield
    finally:
        session.close()


@contextmanager
def _alone() -> Iterator[Any]:
    """One transaction, and no other set-up beside it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_SETUP_LOCK])
        yield cursor


def _ensure_role(cursor: Any, role: DatabaseRole) -> None:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role.name])
    verb = "ALTER" if cursor.fetchone() else "CREATE"
    secret = getattr(settings.ENVIRONMENT, f"db_password_{role.name}")
    if secret is None:
        _run(cursor, verb + " ROLE {} LOGIN", sql.Identifier(role.name))
    else:
        _run(
            cursor,
            verb + " ROLE {} LOGIN PASSWORD {}",
            sql.Identifier(role.name),
            sql.Literal(secret.get_secret_value()),
        )


def _apply_role(cursor: Any, role: DatabaseRole) -> None:
    name = sql.Identifier(role.name)
    for schema in OWNER_SEARCH_PATH:
        _run(cursor, "REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}", sql.Identifier(schema), name)
        _run(cursor, "REVOKE ALL ON SCHEMA {} FROM {}", sql.Identifier(schema), name)
    for schema in role.reads_schemas:
        _run(cursor, "GRANT USAGE ON SCHEMA {} TO {}", sql.Identifier(schema), name)
    for schema in role.search_path:
        _run(cursor, "GRANT USAGE ON SCHEMA {} TO {}", sql.Identifier(schema), name)
        _run(cursor, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {} TO {}", sql.Identifier(schema), name)
    for grant in role.grants:
        _apply_grant(cursor, grant, name)
    for group in role.member_of:
        _run(cursor, "GRANT {} TO {}", sql.Identifier(group), name)
    if role.publishes:
        _run(cursor, "GRANT EXECUTE ON FUNCTION events.append_event, events.keep_client TO {}", name)
    verb = "GRANT EXECUTE ON FUNCTION {} TO {}" if role.makes_partitions else "REVOKE EXECUTE ON FUNCTION {} FROM {}"
    _run(cursor, verb, sql.SQL("events.ensure_partitions"), name)


def _apply_grant(cursor: Any, grant: Grant, role: sql.Identifier) -> None:
    privileges = sql.SQL(grant.privileges)
    schema = sql.Identifier(grant.schema)
    if grant.table == ALL_TABLES:
        _run(cursor, "GRANT {} ON ALL TABLES IN SCHEMA {} TO {}", privileges, schema, role)
        for table in GRANTED_BY_NAME.get(grant.schema, ()):
            _run(cursor, "REVOKE ALL ON {}.{} FROM {}", schema, sql.Identifier(table), role)
    elif not _exists(cursor, grant):
        return
    elif grant.columns:
        columns = sql.SQL(", ").join(map(sql.Identifier, grant.columns))
        _run(cursor, "GRANT {} ({}) ON {}.{} TO {}", privileges, columns, schema, sql.Identifier(grant.table), role)
    else:
        _run(cursor, "GRANT {} ON {}.{} TO {}", privileges, schema, sql.Identifier(grant.table), role)


def _run(cursor: Any, statement: str, *parts: sql.Composable) -> None:
    cursor.execute(sql.SQL(statement).format(*parts).as_string(cursor.connection))


def _exists(cursor: Any, grant: Grant) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [f"{grant.schema}.{grant.table}"])
    return bool(cursor.fetchone()[0])
