"""Who owns what in PostgreSQL: the roles that services log in with, and their grants.

`manage.py setup_database` makes the database so; docs/architecture.md shows the same as a table.
"""

from dataclasses import dataclass

OWNER_SEARCH_PATH = ("users", "kraken", "bots", "risk", "paper", "events", "audit")
SCHEMAS = OWNER_SEARCH_PATH

READ = "SELECT"
WRITE = "SELECT, INSERT, UPDATE, DELETE"
ALL_TABLES = "*"

# Every process that publishes calls events.append_event, which alone may write events.event (SECURITY DEFINER).
PUBLISH = "EXECUTE"


@dataclass(frozen=True)
class Grant:
    schema: str
    table: str
    privileges: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatabaseRole:
    """A login role: what it sees first to last, and what it may do there."""

    name: str
    search_path: tuple[str, ...]
    grants: tuple[Grant, ...]
    publishes: bool = False
    member_of: tuple[str, ...] = ()
    # Schemas that it reads and does not find by itself: only what names them gets there.
    reads_schemas: tuple[str, ...] = ()


def _writes(*schemas: str) -> tuple[Grant, ...]:
    return tuple(Grant(schema, ALL_TABLES, WRITE) for schema in schemas)


def _reads(*schemas: str) -> tuple[Grant, ...]:
    return tuple(Grant(schema, ALL_TABLES, READ) for schema in schemas)


# What every HTTP service and consumer keeps in the shared schema: requests and messages it has seen.
_BOOKKEEPING = (
    Grant("events", "idempotency_record", WRITE),
    Grant("events", "inbox", "SELECT, INSERT, DELETE"),
    Grant("events", "dead_letter", WRITE),
    Grant("events", "process_heartbeat", WRITE),
    Grant("events", "command_execution", WRITE),
)

ROLES: dict[str, DatabaseRole] = {
    role.name: role
    for role in (
        DatabaseRole(
            "user_service",
            ("users", "events"),
            (*_writes("users"), *_reads("events"), *_BOOKKEEPING),
            publishes=True,
        ),
        DatabaseRole(
            "kraken_service",
            ("kraken", "risk", "events"),
            (*_writes("kraken", "risk"), *_reads("events"), *_BOOKKEEPING),
            publishes=True,
        ),
        DatabaseRole(
            "bot_service",
            ("bots", "kraken", "risk", "events"),
            (
                *_writes("bots", "risk"),
                *_reads("events"),
                *_BOOKKEEPING,
                # Ciphertext only: the data key opens with the vault key, never with the database.
                Grant(
                    "kraken",
                    "vault_credential",
                    READ,
                    columns=(
                        "id",
                        "user_id",
                        "mode",
                        "ciphertext",
                        "nonce",
                        "wrapped_key",
                        "key_id",
                        "state",
                        "tested_at",
                    ),
                ),
                # The process that signs a request increments the nonce: none may be used twice with a key.
                Grant("kraken", "exchange_nonce", WRITE),
                Grant("kraken", "exchange_budget", WRITE),
                Grant("kraken", "exchange_clock", WRITE),
                # The list of pairs: whichever process finds it old refreshes it, for all.
                Grant("kraken", "market_instrument", WRITE),
            ),
            publishes=True,
        ),
        DatabaseRole(
            "relay",
            ("events",),
            (
                *_reads("events"),
                Grant("events", "outbox", WRITE),
                Grant("events", "lease", WRITE),
                Grant("events", "parked_key", WRITE),
                Grant("events", "process_heartbeat", WRITE),
            ),
        ),
        DatabaseRole(
            "dispatcher",
            ("events",),
            (
                *_reads("events"),
                *_BOOKKEEPING,
                Grant("events", "outbox", WRITE),
                Grant("events", "lease", WRITE),
                Grant("events", "parked_key", WRITE),
            ),
            publishes=True,
        ),
        DatabaseRole(
            "sealer",
            ("audit", "events"),
            (
                *_writes("audit"),
                *_reads("events"),
                Grant("events", "lease", WRITE),
                Grant("events", "process_heartbeat", WRITE),
            ),
            publishes=True,
            # The sealer must see how old the oldest open transaction is.
            member_of=("pg_read_all_stats",),
        ),
        # Reads what it verifies, and writes nothing but that it lives.
        DatabaseRole(
            "verifier",
            ("events",),
            (*_reads("events", "audit"), Grant("events", "process_heartbeat", WRITE)),
            reads_schemas=("audit",),
        ),
        DatabaseRole(
            "staff_site",
            OWNER_SEARCH_PATH,
            (
                *_writes("users", "kraken", "bots", "risk", "paper"),
                *_reads("events", "audit"),
                *_BOOKKEEPING,
                Grant("events", "parked_key", WRITE),
                Grant("events", "outbox", WRITE),
            ),
            publishes=True,
        ),
        DatabaseRole(
            "paper_exchange",
            ("paper", "events"),
            (
                *_writes("paper"),
                Grant("events", "idempotency_record", WRITE),
                Grant("events", "process_heartbeat", WRITE),
            ),
        ),
    )
}

ROLE_OF_SERVICE = {
    "user": "user_service",
    "kraken": "kraken_service",
    "bot": "bot_service",
    "staff": "staff_site",
    "paper": "paper_exchange",
}
