"""Each service's role can do exactly what the table below says, on every table of every schema: nothing less, no more.

Of a partitioned table the parent counts: PostgreSQL asks its privileges, whichever partition a row is in. A partition
may give less, as one does that was made after the grants, and never more.

The table is written down here a second time on purpose: a grant that is added to `apps/ops/database_roles.py` has to be
meant. Schema `risk` is written by two services and read by no third one (ADR 8).
"""

from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from django.db import connection

from apps.ops.database_roles import ROLES, SCHEMAS

pytestmark = pytest.mark.django_db

READ = frozenset({"SELECT"})
WRITE = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
NOTHING: frozenset[str] = frozenset()
ALL_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")

# On every table of a schema; nothing where a schema is not named.
ON_SCHEMAS = {
    "user_service": {"users": WRITE, "events": READ},
    "kraken_service": {"kraken": WRITE, "risk": WRITE, "events": READ},
    "bot_service": {"bots": WRITE, "risk": WRITE, "events": READ},
    "relay": {"events": READ},
    "dispatcher": {"events": READ},
    "sealer": {"audit": WRITE, "events": READ},
    "verifier": {"audit": READ, "events": READ},
    "staff_site": {"users": WRITE, "kraken": WRITE, "bots": WRITE, "risk": WRITE, "paper": WRITE, "events": READ,
                   "audit": READ},
    "paper_exchange": {"paper": WRITE},
}  # fmt: skip

# Network addresses and user agents of callers, and the staff site's log: no grant on a whole schema covers them.
BY_NAME_ALONE = {"events.client_record", "users.django_admin_log"}
CLIENT_RECORDS = {"events.client_record": frozenset({"SELECT", "DELETE"})}

BOOKKEEPING = {
    "events.idempotency_record": WRITE,
    "events.inbox": frozenset({"SELECT", "INSERT", "DELETE"}),
    "events.dead_letter": WRITE,
    "events.process_heartbeat": WRITE,
    "events.command_execution": WRITE,
}
SAMPLES = {"events.figure_sample": frozenset({"SELECT", "INSERT", "UPDATE"})}
SENDING = {"events.outbox": WRITE, "events.lease": WRITE, "events.parked_key": WRITE}
BEATS = {"events.process_heartbeat": WRITE}

REVOCATIONS = {"events.revoked_session": frozenset({"SELECT", "INSERT", "DELETE"})}

# On single tables, beside that.
ON_TABLES: dict[str, dict[str, frozenset[str]]] = {
    "user_service": {
        **BOOKKEEPING,
        **CLIENT_RECORDS,
        **REVOCATIONS,
        "events.verification_key": frozenset({"SELECT", "INSERT", "UPDATE"}),
        "events.figure_sample": WRITE,
        "events.machine_key": WRITE,
        "events.machine_key_use": WRITE,
        "events.lease": frozenset({"SELECT", "INSERT", "UPDATE"}),
    },
    "kraken_service": {**BOOKKEEPING, **SAMPLES, "events.machine_key_use": frozenset({"SELECT", "INSERT", "UPDATE"})},
    "bot_service": {
        **BOOKKEEPING,
        **SAMPLES,
        "kraken.exchange_nonce": WRITE,
        "kraken.exchange_budget": WRITE,
        "kraken.exchange_clock": WRITE,
        "kraken.market_instrument": WRITE,
    },
    "relay": {**SENDING, **BEATS, **SAMPLES},
    "dispatcher": {**BOOKKEEPING, **SENDING, **SAMPLES},
    "sealer": {"events.lease": WRITE, **BEATS},
    "verifier": BEATS,
    "staff_site": {
        **BOOKKEEPING,
        **SAMPLES,
        **CLIENT_RECORDS,
        **REVOCATIONS,
        "events.parked_key": WRITE,
        "events.outbox": WRITE,
        "events.machine_key": frozenset({"SELECT", "UPDATE"}),
        "users.django_admin_log": frozenset({"SELECT", "INSERT"}),
    },
    "paper_exchange": {"events.idempotency_record": WRITE, "events.verification_key": READ, **BEATS, **SAMPLES},
}

# Of a credential the bot service reads what opens it, and nothing that only people need.
CREDENTIAL_COLUMNS = {"id", "user_id", "mode", "ciphertext", "nonce", "wrapped_key", "key_id", "state", "tested_at"}

_TABLES = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
"""
_PARTITIONS = """
SELECT n.nspname || '.' || child.relname, parent.nspname || '.' || root.relname
  FROM pg_class child
  JOIN pg_namespace n ON n.oid = child.relnamespace
  JOIN pg_class root ON root.oid = pg_partition_root(child.oid)
  JOIN pg_namespace parent ON parent.oid = root.relnamespace
 WHERE n.nspname = ANY(%s) AND child.relkind IN ('r', 'p') AND child.relispartition
"""
_PRIVILEGES = """
SELECT t, array_agg(p) FROM unnest(%s::text[]) AS t CROSS JOIN unnest(%s::text[]) AS p
 WHERE has_table_privilege(%s, t, p) GROUP BY t
"""
_COLUMNS = """
SELECT a.attname, has_column_privilege(%s, a.attrelid, a.attnum, 'SELECT'),
       has_column_privilege(%s, a.attrelid, a.attnum, 'UPDATE, INSERT, REFERENCES')
  FROM pg_attribute a WHERE a.attrelid = 'kraken.vault_credential'::regclass AND a.attnum > 0 AND NOT a.attisdropped
"""


@pytest.fixture
def ask() -> Callable[..., list[tuple[Any, ...]]]:
    """Asks the database as its owner."""

    def rows(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    return rows


def expected(role: str, table: str) -> frozenset[str]:
    on_schema = NOTHING if table in BY_NAME_ALONE else ON_SCHEMAS[role].get(table.partition(".")[0], NOTHING)
    return on_schema | ON_TABLES[role].get(table, NOTHING)


def test_the_table_names_every_role() -> None:
    assert ON_SCHEMAS.keys() == ON_TABLES.keys() == ROLES.keys()


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_has_these_privileges_and_no_others(role: str, ask: Callable[..., list[tuple[Any, ...]]]) -> None:
    tables = [table for (table,) in ask(_TABLES, list(SCHEMAS))]
    assert {"risk.risk_halt", "risk.risk_live_switch", "risk.risk_cap", "risk.risk_allocation"} <= set(tables)
    found = {table: frozenset(has) for table, has in ask(_PRIVILEGES, tables, list(ALL_PRIVILEGES), role)}

    differing = {
        table: (sorted(found.get(table, NOTHING)), "instead of", sorted(expected(role, table)))
        for table in tables
        if found.get(table, NOTHING) != expected(role, table)
    }
    assert differing == {}


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_partition_gives_a_role_no_more_than_its_parent_does(
    role: str, ask: Callable[..., list[tuple[Any, ...]]]
) -> None:
    parents = dict(ask(_PARTITIONS, list(SCHEMAS)))
    assert set(parents.values()) == {"events.event"}
    found = {table: frozenset(has) for table, has in ask(_PRIVILEGES, list(parents), list(ALL_PRIVILEGES), role)}

    more = {table: found[table] - expected(role, parents[table]) for table in found}
    assert {table: sorted(privileges) for table, privileges in more.items() if privileges} == {}


def test_the_user_service_alone_makes_partitions(ask: Callable[..., list[tuple[Any, ...]]]) -> None:
    may = {role: ask("SELECT has_function_privilege(%s, 'events.ensure_partitions(integer)', 'EXECUTE')", role)
           for role in ROLES}  # fmt: skip

    assert {role for role, ((is_allowed,),) in may.items() if is_allowed} == {"user_service"}


def test_the_bot_service_reads_these_columns_of_a_credential(ask: Callable[..., list[tuple[Any, ...]]]) -> None:
    columns = ask(_COLUMNS, "bot_service", "bot_service")
    assert {name for name, reads, _ in columns if reads} == CREDENTIAL_COLUMNS
    assert not any(writes for _, _, writes in columns)


@pytest.mark.parametrize("role", sorted(name for name, schemas in ON_SCHEMAS.items() if "risk" in schemas))
def test_who_may_write_risk_sets_a_switch_and_cannot_change_the_table(login: Callable[[str], Any], role: str) -> None:
    cursor = login(role)
    cursor.execute("INSERT INTO risk.risk_bot_switch (bot_id) VALUES (gen_random_uuid())")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("ALTER TABLE risk.risk_halt DROP CONSTRAINT risk_halt_level")


@pytest.mark.parametrize("role", sorted(name for name, schemas in ON_SCHEMAS.items() if "risk" not in schemas))
def test_no_other_role_even_looks_into_risk(login: Callable[[str], Any], role: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        login(role).execute("SELECT count(*) FROM risk.risk_halt")
