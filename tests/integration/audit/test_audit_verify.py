"""audit_verify finds manipulations of the event store, and names the place."""

import hashlib
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from django.utils import timezone

from apps.audit.checkpoint_signer import checkpoint_create
from apps.audit.selectors import tree_size
from apps.audit.verification import Verdict, verify
from apps.events.models import StoredEvent
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated

pytestmark = pytest.mark.django_db(transaction=True)


def _execute(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def _verify(key: Ed25519PrivateKey) -> Verdict:
    return verify(public_key=key.public_key())


def test_an_untouched_store_is_whole(checkpointed: list[UUID], key: Ed25519PrivateKey) -> None:
    verdict = _verify(key)

    assert verdict.is_whole
    assert (verdict.events, verdict.aggregates, verdict.leaves, verdict.checkpoints, verdict.pending) == (
        12,
        3,
        12,
        1,
        0,
    )


def test_events_written_after_the_seal_are_whole_and_counted_as_unsealed(
    checkpointed: list[UUID], key: Ed25519PrivateKey
) -> None:
    with transaction.atomic():
        publish(UserUpdated(user_id=checkpointed[0], changed=("name",)), now=timezone.now())

    verdict = _verify(key)
    assert verdict.is_whole
    assert verdict.pending == 1


def test_nothing_is_sealed_twice(checkpointed: list[UUID], key: Ed25519PrivateKey) -> None:
    assert checkpoint_create(key=key, now=timezone.now()) is None
    assert tree_size() == 12


@pytest.mark.usefixtures("_as_superuser")
class TestTampering:
    @pytest.mark.parametrize(
        "column_and_value",
        [
            "payload = 'changed'",
            "event_type = 'user.created'",
            "schema_version = 2",
            "occurred_at = occurred_at - interval '1 second'",
            "recorded_at = recorded_at + interval '1 microsecond'",
            "user_id = gen_random_uuid()",
            "correlation_id = gen_random_uuid()",
            "causation_id = gen_random_uuid()",
            "traceparent = 'x'",
            "actor = ''",
            """actor = '{"kind":"user"}'""",
            r"traceparent = traceparent || E'\t' || actor, actor = ''",
            "event_id = gen_random_uuid()",
        ],
    )
    def test_an_edited_column_is_named_by_aggregate_and_number(
        self, checkpointed: list[UUID], key: Ed25519PrivateKey, column_and_value: str
    ) -> None:
        _execute(
            f"UPDATE events.event SET {column_and_value} WHERE aggregate_id = %s AND aggregate_seq = 2", checkpointed[1]
        )

        first = _verify(key).divergences[0]
        assert (first.kind, first.aggregate, first.sequence) == ("changed", f"user/{checkpointed[1]}", 2)

    def test_a_deleted_event_leaves_a_gap(self, checkpointed: list[UUID], key: Ed25519PrivateKey) -> None:
        _execute("DELETE FROM events.event WHERE aggregate_id = %s AND aggregate_seq = 3", checkpointed[0])

        first = _verify(key).divergences[0]
        assert (first.kind, first.aggregate, first.sequence) == ("gap", f"user/{checkpointed[0]}", 4)

    def test_a_deleted_last_event_is_missed(self, checkpointed: list[UUID], key: Ed25519PrivateKey) -> None:
        _execute("DELETE FROM events.event WHERE aggregate_id = %s AND aggregate_seq = 4", checkpointed[0])

        first = _verify(key).divergences[0]
        assert (first.kind, first.aggregate, first.sequence) == ("tail", f"user/{checkpointed[0]}", 4)

    def test_two_events_that_changed_places_are_found(self, checkpointed: list[UUID], key: Ed25519PrivateKey) -> None:
        _execute(
            "UPDATE events.event SET aggregate_seq = 5 - aggregate_seq "
            "WHERE aggregate_id = %s AND aggregate_seq IN (2, 3)",
            checkpointed[2],
        )

        first = _verify(key).divergences[0]
        assert (first.aggregate, first.sequence) == (f"user/{checkpointed[2]}", 2)

    def test_a_whole_aggregate_that_vanished_is_found(self, checkpointed: list[UUID], key: Ed25519PrivateKey) -> None:
        _execute("DELETE FROM events.event WHERE aggregate_id = %s", checkpointed[0])
        _execute("DELETE FROM events.stream WHERE aggregate_id = %s", checkpointed[0])

        kinds = {divergence.kind for divergence in _verify(key).divergences}
        assert kinds == {"seal"}

    def test_a_chain_rehashed_to_its_end_is_exposed_by_the_seal(
        self, checkpointed: list[UUID], key: Ed25519PrivateKey
    ) -> None:
        _rewrite_last_event(checkpointed[0])

        verdict = _verify(key)
        assert [divergence.kind for divergence in verdict.divergences] == ["seal"]

    def test_rewritten_leaves_are_exposed_by_the_signed_root(
        self, checkpointed: list[UUID], key: Ed25519PrivateKey
    ) -> None:
        _rewrite_last_event(checkpointed[0])
        _execute("UPDATE audit.audit_leaf l SET event_hash = e.hash FROM events.event e WHERE e.event_id = l.event_id")

        verdict = _verify(key)
        assert [divergence.kind for divergence in verdict.divergences] == ["seal"]
        assert "not those that were signed" in verdict.divergences[0].message

    def test_a_checkpoint_that_was_taken_away_leaves_sealed_events_without_a_signature(
        self, checkpointed: list[UUID], key: Ed25519PrivateKey
    ) -> None:
        _execute("DELETE FROM audit.audit_checkpoint")

        assert [str(divergence) for divergence in _verify(key).divergences] == [
            "seal: merkle tree #0: 12 sealed events are under no signed checkpoint"
        ]

    def test_a_checkpoint_signed_by_another_key_is_refused(self, checkpointed: list[UUID]) -> None:
        verdict = _verify(Ed25519PrivateKey.generate())

        assert [divergence.kind for divergence in verdict.divergences] == ["checkpoint"]


def _rewrite_last_event(user_id: UUID) -> None:
    """The attack of a superuser: changes a payload, and fits its hash and the chain's head."""
    rows = list(StoredEvent.objects.filter(aggregate_id=user_id).order_by("aggregate_seq"))
    last, previous = rows[-1], bytes(rows[-2].hash)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT concat_ws(E'\\t', event_id, event_type, schema_version, aggregate_type, aggregate_id,"
            " aggregate_seq,"
            " events.microseconds(occurred_at), events.microseconds(recorded_at), coalesce(user_id::text, ''),"
            " correlation_id, coalesce(causation_id::text, ''), traceparent, nullif(actor, ''), '')"
            " FROM events.event WHERE event_id = %s",
            [last.event_id],
        )
        header = cursor.fetchone()[0].encode()
    digest = hashlib.sha256(previous + header + b"forged").digest()
    _execute("UPDATE events.event SET payload = 'forged', hash = %s WHERE event_id = %s", digest, last.event_id)
    _execute("UPDATE events.stream SET last_hash = %s WHERE aggregate_id = %s", digest, user_id)
