"""Attacks of a superuser on the event store, the leaves and checkpoints, and the witness. Each is a function of the
store."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from django.utils import timezone

from apps.audit import witness
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated
from tests.integration.audit.conftest import checkpoint_all

_HEADER = """
    SELECT event_id, concat_ws(E'\\t', event_id, event_type, schema_version, aggregate_type, aggregate_id,
           aggregate_seq, (extract(epoch FROM occurred_at) * 1000000)::bigint,
           (extract(epoch FROM recorded_at) * 1000000)::bigint, coalesce(user_id::text, ''), correlation_id,
           coalesce(causation_id::text, ''), traceparent, nullif(actor, ''), ''), payload
      FROM events.event WHERE aggregate_id = %s ORDER BY aggregate_seq
"""


@dataclass
class Store:
    """Three users with four events each under four checkpoints, all in the witness; one more event is pending."""

    key: Ed25519PrivateKey
    witness: Path
    users: Sequence[UUID]

    def execute(self, statement: str, *parameters: Any) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def make_fit(self, *aggregates: UUID) -> None:
        """Recomputes chains and heads, as an attacker who knows the format would."""
        for aggregate in aggregates or self.users:
            digest, number = b"", 0
            for event_id, header, payload in self.execute(_HEADER, aggregate):
                digest = hashlib.sha256(digest + header.encode() + bytes(payload)).digest()
                self.execute(
                    "UPDATE events.event SET hash = %s WHERE event_id = %s AND aggregate_id = %s",
                    digest, event_id, aggregate,
                )  # fmt: skip
                number += 1
            self.execute(
                "UPDATE events.stream SET last_seq = %s, last_hash = %s WHERE aggregate_id = %s",
                number, digest, aggregate,
            )  # fmt: skip

    def forge(self, age: str, *, aggregate: UUID | None = None, event_id: UUID | None = None) -> None:
        """Inserts a forged event at the end of a chain, or in a new one, with the given recording time."""
        target = aggregate or uuid4()
        ((number,),) = self.execute(
            "SELECT coalesce(max(aggregate_seq), 0) + 1 FROM events.event WHERE aggregate_id = %s", target
        )
        self.execute(
            "INSERT INTO events.event SELECT %s, clock_timestamp() - %s::interval, 'user.updated', 1, 'user', %s, %s,"
            " clock_timestamp() - %s::interval, NULL, gen_random_uuid(), NULL, '', 'forged', sha256('')",
            event_id or uuid4(), age, target, number, age,
        )  # fmt: skip
        if aggregate is None:
            self.execute("INSERT INTO events.stream VALUES ('user', %s, 0, '')", target)
        self.make_fit(target)

    def rewrite(self, user: UUID) -> None:
        """Changes the payload of the last event in the tree, and fits its chain and head."""
        self.execute(
            "UPDATE events.event SET payload = 'forged' WHERE event_id = (SELECT event_id FROM audit.audit_leaf "
            "JOIN events.event USING (event_id) WHERE aggregate_id = %s ORDER BY seal_no DESC LIMIT 1)",
            user,
        )
        self.make_fit(user)

    def forget_leaves(self, keeping: int = 0) -> None:
        """Deletes the checkpoints beyond a tree size, with their leaves."""
        self.execute("DELETE FROM audit.audit_leaf WHERE seal_no >= %s", keeping)
        self.execute("DELETE FROM audit.audit_checkpoint WHERE tree_size > %s", keeping)

    def sign_again(self) -> None:
        """Signs new checkpoints, as a process that has the key can."""
        checkpoint_all(self.key)

    def notes(self) -> list[str]:
        return list(witness.notes(self.witness))

    def write_notes(self, notes: Sequence[str]) -> None:
        self.witness.write_text("".join(f"{note}\n" for note in notes))


def add_event(user: UUID) -> None:
    with transaction.atomic():
        publish(UserUpdated(user_id=user, changed=("name",)), now=timezone.now())


def make_store(key: Ed25519PrivateKey, file: Path) -> Store:
    users = [uuid4() for _ in range(3)]
    for _ in range(4):
        for user in users:
            add_event(user)
        checkpoint_all(key)
        witness.catch_up(file)
    add_event(users[0])
    return Store(key, file, users)
