"""Checks that the tables of the audit log are ordinary tables: a view or rule could show other rows to verification."""

from collections.abc import Iterator

from django.db.backends.utils import CursorWrapper

from apps.audit.chains import Divergence

# Statements of a transaction resolve functions and operators to PostgreSQL's built-in ones: the database's owner may
# have defined others of the same name.
BUILT_INS_ONLY = "SET LOCAL search_path = pg_catalog, audit, pg_temp"

TABLES = (
    "events.event",
    "events.stream",
    "audit.audit_leaf",
    "audit.audit_checkpoint",
    "audit.audit_archived_partition",
)

# Tables and their partitions: none may be a view or a foreign table, have rules, or have columns of user-defined types.
_DISGUISED = """
    WITH RECURSIVE part (root, oid) AS (
        SELECT name, pg_catalog.to_regclass(name)::pg_catalog.oid FROM pg_catalog.unnest(%s::pg_catalog.text[]) AS name
        UNION ALL
        SELECT part.root, i.inhrelid FROM part JOIN pg_catalog.pg_inherits i ON i.inhparent = part.oid
    )
    SELECT part.root,
           CASE WHEN c.oid IS NULL THEN 'it is not there'
                WHEN c.relkind NOT IN ('r', 'p') THEN 'it is not a table'
                WHEN c.relhasrules THEN 'a rule stands before it'
                ELSE 'the column ' || a.attname || ' has a type of its own' END
      FROM part LEFT JOIN pg_catalog.pg_class c ON c.oid = part.oid
      LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_type t
                             WHERE t.oid = a.atttypid AND t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace)
     WHERE c.oid IS NULL OR c.relkind NOT IN ('r', 'p') OR c.relhasrules OR a.attname IS NOT NULL
     ORDER BY 1 LIMIT 20
"""


def replaced_tables(cursor: CursorWrapper) -> Iterator[Divergence]:
    """The tables of the audit log that are missing, or replaced by something other than an ordinary table."""
    cursor.execute(_DISGUISED, [list(TABLES)])
    for table, message in cursor.fetchall():
        yield Divergence("schema", table, 0, message)
