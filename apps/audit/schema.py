"""The tables of the audit log are tables: what stands in their place could show other rows to the verification."""

from collections.abc import Iterator

from django.db.backends.utils import CursorWrapper

from apps.audit.chains import Divergence

TABLES = (
    "events.event",
    "events.stream",
    "audit.audit_leaf",
    "audit.audit_checkpoint",
    "audit.audit_archived_partition",
)

# Tables with their partitions: none may be a view or a foreign table, or have rules or columns of types made here.
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


def disguised(cursor: CursorWrapper) -> Iterator[Divergence]:
    """What is in the place of a table of the audit log."""
    cursor.execute(_DISGUISED, [list(TABLES)])
    for table, message in cursor.fetchall():
        yield Divergence("schema", table, 0, message)
