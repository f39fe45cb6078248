"""Who owns what in PostgreSQL: the roles that services log in with, and their grants.

`manage.py setup_database` makes the database so; docs/architecture.md shows the same as a table.
"""

from dataclasses import dataclass

OWNER_SEARCH_PATH = ("users", "kraken", "bots", "risk", "paper", "events", "audit")
SCHEMAS = OWNER_SEARCH_PATH

READ = "SELECT"
WRITE = "SELECT, INSERT, UPDATE, DELETE"
ALL_TABLES = "*"

# Tables that a grant on all tables of their schema leaves out: network addresses and user agents of callers, and the
# log of the staff site.
GRANTED_BY_NAME = {"events": ("client_record",), "users": ("django_admin_log",)}

# Every process that publishes calls events.append_event, which alone may write events.event (SECURITY DEFINER), and
# events.keep_client, which alone may add to events.client_record.
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
    # Whether it may make partitions of the event store ahead of time.
    makes_partitions: bool = False
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

# Sessions end in the user service and on the staff site; every service reads which.
_REVOCATIONS = Grant("events", "revoked_session", "SELECT, INSERT, DELETE")
# Shown to its owner and to auditors, and erased with the account; never changed.
_CLIENT_RECORDS = Grant("events", "client_record", "SELECT, DELETE")

# Every process that measures something the staff site plots.
_SAMPLES = Grant("events", "figure_sample", "SELECT, INSERT, UPDATE")

ROLES: dict[str, DatabaseRole] = {
    role.name: role
    for role in (
        DatabaseRole(
            "user_service",
            ("users", "events"),
            (
                # Its housekeeping deletes them.
                Grant("events", "figure_sample", WRITE),
                *_writes("users"),
                *_reads("events"),
                *_BOOKKEEPING,
                _CLIENT_RECORDS,
                _REVOCATIONS,
                # Every service believes the keys of this table: no other role writes it.
                Grant("events", "verification_key", "SELECT, INSERT, UPDATE"),
                Grant("events", "machine_key", WRITE),
                Grant("events", "machine_key_use", WRITE),
                # The housekeeping process.
                Grant("events", "lease", "SELECT, INSERT, UPDATE"),
            ),
            publishes=True,
            makes_partitions=True,
        ),
        DatabaseRole(
            "kraken_service",
            ("kraken", "risk", "events"),
            (
                _SAMPLES,
                *_writes("kraken", "risk"),
                *_reads("events"),
                *_BOOKKEEPING,
                Grant("events", "machine_key_use", "SELECT, INSERT, UPDATE"),
            ),
            publishes=True,
        ),
        DatabaseRole(
            "bot_service",
            ("bots", "kraken", "risk", "events"),
            (
                _SAMPLES,
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
                _SAMPLES,
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
                _SAMPLES,
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
                _SAMPLES,
                *_writes("users", "kraken", "bots", "risk", "paper"),
                *_reads("events", "audit"),
                *_BOOKKEEPING,
                _CLIENT_RECORDS,
                _REVOCATIONS,
                # Written by the pages of the site, and changed or deleted by none.
                Grant("users", "django_admin_log", "SELECT, INSERT"),
                Grant("events", "parked_key", WRITE),
                # Disabling a user ends their machine keys.
                Grant("events", "machine_key", "SELECT, UPDATE"),
                Grant("events", "outbox", WRITE),
            ),
            publishes=True,
        ),
        DatabaseRole(
            "paper_exchange",
            ("paper", "events"),
            (
                _SAMPLES,
                *_writes("paper"),
                Grant("events", "idempotency_record", WRITE),
                Grant("events", "verification_key", READ),
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
