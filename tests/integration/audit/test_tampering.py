"""Attacks of a superuser with triggers disabled, and their divergences, without and with a witness."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from django.utils import timezone

from apps.audit.checkpoint_signer import CheckpointSigner
from apps.audit.verification import verify
from tests.integration.audit.tampering import Store, add_event, make_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_as_superuser")]

Attack = Callable[[Store], object]


@pytest.fixture
def store(key: Ed25519PrivateKey, tmp_path: Path) -> Store:
    return make_store(key, tmp_path / "witness")


def kinds(store: Store, *, with_witness: bool) -> set[str]:
    verdict = verify(public_key=store.key.public_key(), witness=store.witness if with_witness else None)
    return {each.kind for each in verdict.divergences}


def steps(*attacks: Attack) -> Attack:
    def attack(store: Store) -> None:
        for each in attacks:
            each(store)

    return attack


def edit(assignment: str) -> Attack:
    statement = f"UPDATE events.event SET {assignment} WHERE aggregate_id = %s AND aggregate_seq = 2"
    return lambda store: store.execute(statement, store.users[1])


def edit_and_fit(store: Store) -> None:
    edit("payload = 'forged'")(store)
    store.make_fit()


def edit_fit_and_leaves(store: Store) -> None:
    edit_and_fit(store)
    store.execute("UPDATE audit.audit_leaf l SET event_hash = e.hash FROM events.event e WHERE e.event_id = l.event_id")


def forge(age: str, *, in_new_one: bool = True) -> Attack:
    """Inserts a forged event at the end of a chain, or in a new one."""
    return lambda store: store.forge(age, aggregate=None if in_new_one else store.users[1])


def delete(condition: str, *, fit: bool = False) -> Attack:
    def attack(store: Store) -> None:
        store.execute(f"DELETE FROM events.event WHERE aggregate_id = %s AND {condition}", store.users[1])
        if fit:
            store.execute(
                "UPDATE events.event e SET aggregate_seq = n.number FROM (SELECT event_id, row_number() OVER (ORDER BY "
                "aggregate_seq) AS number FROM events.event WHERE aggregate_id = %s) n WHERE n.event_id = e.event_id",
                store.users[1],
            )
            store.make_fit(store.users[1])

    return attack


def checkpoint(assignment: str, position: int = 3) -> Attack:
    """`position` counts from 0, the first checkpoint."""
    return lambda store: store.execute(
        f"UPDATE audit.audit_checkpoint SET {assignment} WHERE tree_size = %s",
        (position + 1) * 3,
    )


def replace_microseconds(store: Store) -> None:
    """Readers see 2020; a replaced function returns the time that was hashed."""
    store.execute("UPDATE events.event SET occurred_at = '2020-01-01' WHERE aggregate_seq = 2")
    store.execute(
        "CREATE OR REPLACE FUNCTION events.microseconds(moment timestamptz) RETURNS bigint LANGUAGE sql STABLE AS "
        "'SELECT 0::bigint'"
    )


def shadow_operator(store: Store) -> None:
    """Creates an operator whose argument types match better than the built-in one, in the platform's schema."""
    edit_and_fit(store)
    store.execute("CREATE FUNCTION events.never(bytea, bytea) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false'")
    store.execute("CREATE OPERATOR events.<> (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = events.never)")
    store.execute("SET search_path = events, audit, pg_catalog, users, kraken, bots, paper")


def view_instead_of_table(store: Store) -> None:
    store.execute("ALTER TABLE events.stream RENAME TO hidden")
    store.execute("CREATE VIEW events.stream AS SELECT * FROM events.hidden")


def type_of_its_own(store: Store) -> None:
    store.execute("CREATE TYPE events.kind AS ENUM ('user')")
    store.execute("ALTER TABLE events.stream ALTER aggregate_type TYPE events.kind USING aggregate_type::events.kind")


def rewrite_and_sign(*, keeping: int) -> Attack:
    """The attack of a superuser who has the signing key too."""

    def attack(store: Store) -> None:
        store.rewrite(store.users[1])
        store.forget_leaves(keeping)
        store.sign_again()

    return attack


def empty_store(store: Store) -> None:
    for table in ("events.event", "events.stream", "audit.audit_leaf", "audit.audit_checkpoint"):
        store.execute(f"DELETE FROM {table}")


def fake_archived_month(store: Store) -> None:
    store.execute("DELETE FROM events.event WHERE aggregate_seq < 5")
    store.execute(
        "INSERT INTO audit.audit_archived_partition VALUES ('event_2020_01', '2000-01-01', '2100-01-01', 12, "
        "'event_2020_01.copy.gz', sha256(''), now())"
    )


def twin_of_a_sealed_event(store: Store) -> None:
    """A second event with the id of one in the tree: only its time differs."""
    ((event_id,),) = store.execute("SELECT event_id FROM audit.audit_leaf WHERE seal_no = 0")
    store.forge("10 days", event_id=event_id)


def after_checkpoint(attack: Attack) -> Attack:
    """The attack, followed by a step of the checkpointer."""

    def attack_and_checkpoint(store: Store) -> None:
        attack(store)
        add_event(store.users[2])
        CheckpointSigner(store.key).advance(timezone.now())

    return attack_and_checkpoint


def both(kinds: str) -> tuple[set[str], set[str]]:
    return set(kinds.split()), set(kinds.split())


def witness_only(kinds: str = "witness") -> tuple[set[str], set[str]]:
    return set(), set(kinds.split())


# The attack, the kinds of divergences without a witness, and those with the witness.
ATTACKS: dict[str, tuple[Attack, set[str], set[str]]] = {
    # Content
    "payload": (edit("payload = 'forged'"), *both("changed")),
    "occurred_at": (edit("occurred_at = occurred_at - interval '1 second'"), *both("changed")),
    "recorded_at": (edit("recorded_at = recorded_at + interval '1 microsecond'"), *both("changed seal")),
    "type": (edit("event_type = 'user.created'"), *both("changed")),
    "user": (edit("user_id = gen_random_uuid()"), *both("changed")),
    "payload, chain fitted": (edit_and_fit, *both("seal")),
    "payload, chain and leaves fitted": (edit_fit_and_leaves, *both("seal")),
    "middle deleted": (delete("aggregate_seq = 2"), *both("gap seal")),
    "middle deleted, chain fitted": (delete("aggregate_seq = 2", fit=True), *both("seal")),
    "tail deleted": (delete("aggregate_seq = 4"), *both("tail seal")),
    "tail deleted, head fitted": (delete("aggregate_seq = 4", fit=True), *both("seal")),
    "aggregate deleted": (delete("true"), *both("tail seal")),
    "two events swapped": (
        lambda store: store.execute(
            "UPDATE events.event SET aggregate_seq = 5 - aggregate_seq WHERE aggregate_id = %s AND aggregate_seq < 5",
            store.users[1],
        ),
        *both("changed tail"),
    ),
    "chain head": (
        lambda store: store.execute(
            "UPDATE events.stream SET last_hash = sha256('') WHERE aggregate_id = %s", store.users[1],
        ),
        *both("tail"),
    ),
    # Forged events
    "forged 5 minutes ago, end of a chain": (forge("5 min", in_new_one=False), *both("unsealed")),
    "forged 5 minutes ago, new aggregate": (forge("5 min"), *both("unsealed")),
    "forged a year ago, end of a chain": (forge("1 year", in_new_one=False), *both("unsealed")),
    "forged a year ago, new aggregate": (forge("1 year"), *both("unsealed")),
    "forged 5 minutes ago, end of a chain, sealed on": (
        after_checkpoint(forge("5 min", in_new_one=False)), *both("unsealed"),
    ),
    "forged 5 minutes ago, new aggregate, sealed on": (after_checkpoint(forge("5 min")), *both("unsealed")),
    "forged in the future": (forge("-1 day"), *both("unsealed")),
    "twin of a sealed event": (twin_of_a_sealed_event, *both("unsealed")),
    # Indistinguishable from an event that the platform appended
    "forged now": (forge("0 s"), set(), set()),
    "unsealed event deleted": (
        steps(lambda store: store.execute("DELETE FROM events.event WHERE aggregate_seq = 5"), Store.make_fit),
        set(), set(),
    ),
    # Checkpoints and leaves
    "settled_until + 1 year": (checkpoint("settled_until = settled_until + interval '1 year'"), *both("seal")),
    "settled_until - 1 year": (checkpoint("settled_until = settled_until - interval '1 year'"), *both("seal")),
    "settled_until of an older checkpoint": (checkpoint("settled_until = now() + interval '1 year'", 0), *both("seal")),
    "root": (checkpoint("root = sha256('')"), *both("seal")),
    "root of an older checkpoint": (checkpoint("root = sha256('')", 1), *both("seal")),
    "frontier": (checkpoint("frontier = ARRAY[sha256(''), sha256('')]"), *both("seal")),
    "frontier of an older checkpoint": (checkpoint("frontier = ARRAY[sha256('')]", 1), *both("seal")),
    "older note": (
        checkpoint("note = (SELECT note FROM audit.audit_checkpoint WHERE tree_size = 3)"),
        {"seal"}, {"seal", "witness"},
    ),
    "signature": (
        checkpoint("note = regexp_replace(note, '.{12}==?\\n$', 'AAAAAAAAAAAA==' || E'\\n')"),
        {"checkpoint"}, {"checkpoint", "witness"},
    ),
    "last checkpoint removed": (
        lambda store: store.execute("DELETE FROM audit.audit_checkpoint WHERE tree_size = 12"),
        {"seal"}, {"seal", "witness"},
    ),
    "middle checkpoint removed": (
        lambda store: store.execute("DELETE FROM audit.audit_checkpoint WHERE tree_size = 6"), *witness_only(),
    ),
    "last checkpoint and its leaves removed": (lambda store: store.forget_leaves(9), *witness_only()),
    "tail rewritten, its seals removed": (
        steps(lambda store: store.rewrite(store.users[1]), lambda store: store.forget_leaves(9)), *witness_only(),
    ),
    "tail rewritten and sealed again": (rewrite_and_sign(keeping=9), *witness_only()),
    "everything rewritten and sealed again": (rewrite_and_sign(keeping=0), *witness_only()),
    "store emptied": (empty_store, *witness_only()),
    # The verification itself
    "events.microseconds replaced": (replace_microseconds, *both("changed")),
    "operator in front of PostgreSQL's": (shadow_operator, *both("seal")),
    "view instead of a table": (view_instead_of_table, *both("schema")),
    "column of another type": (type_of_its_own, *both("schema")),
    "faked archived month": (fake_archived_month, *both("archive")),
    # The witness
    "witness emptied": (lambda store: store.witness.write_text(""), *witness_only()),
    "witness gone": (lambda store: store.witness.unlink(), *witness_only()),
    "witness junk": (lambda store: store.witness.open("a").write("junk\n"), *witness_only()),
    "witness root": (
        lambda store: store.write_notes([store.notes()[0].replace("/audit\n3\n", "/audit\n3\nA")]), *witness_only(),
    ),
    "note dropped": (lambda store: store.write_notes([*store.notes()[:1], *store.notes()[2:]]), *witness_only()),
    "first note dropped": (lambda store: store.write_notes(store.notes()[1:]), *witness_only()),
    "notes reversed": (lambda store: store.write_notes(store.notes()[::-1]), *witness_only()),
    "witness emptied, everything rewritten and sealed again": (
        steps(lambda store: store.witness.write_text(""), rewrite_and_sign(keeping=0)), *witness_only(),
    ),
    "old witness, everything rewritten and sealed again": (
        steps(lambda store: store.write_notes(store.notes()[:1]), rewrite_and_sign(keeping=0)), *witness_only(),
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _schema_as_it_was() -> Iterator[None]:
    """Undoes attacks on functions, operators and tables."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef('events.microseconds'::regproc)")
        (microseconds,) = cursor.fetchone()
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET search_path = users, kraken, bots, paper, events, audit")
        cursor.execute(microseconds)
        cursor.execute("DROP OPERATOR IF EXISTS events.<> (bytea, bytea)")
        cursor.execute("DROP FUNCTION IF EXISTS events.never")
        cursor.execute("SELECT to_regclass('events.hidden')")
        if cursor.fetchone()[0]:
            cursor.execute("DROP VIEW events.stream; ALTER TABLE events.hidden RENAME TO stream")
        cursor.execute("ALTER TABLE events.stream ALTER aggregate_type TYPE text")
        cursor.execute("DROP TYPE IF EXISTS events.kind")


@pytest.mark.parametrize("name", ATTACKS)
def test_the_verification_names_what_an_attack_did(store: Store, name: str) -> None:
    attack, plain, with_witness = ATTACKS[name]
    assert kinds(store, with_witness=True) == set(), "whole before"

    attack(store)

    assert kinds(store, with_witness=False) == plain
    assert kinds(store, with_witness=True) == with_witness
