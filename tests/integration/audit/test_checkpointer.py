"""A checkpoint is only signed on top of the signed state; its note says up to when all events are in the tree."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from apps.audit import checkpoint_signer, checkpoints, witness
from apps.audit.checkpoint_signer import CheckpointRefused, CheckpointSigner, checkpoint_create
from apps.audit.checkpoints import OVERLAP, Checkpoint, InvalidCheckpoint, open_note
from apps.audit.models import SignedCheckpoint
from apps.audit.selectors import tree_size
from apps.audit.verification import verify
from apps.audit.witness import OtherDatabase
from apps.events.models import ProcessHeartbeat
from tests.integration.audit.conftest import checkpoint_all
from tests.integration.audit.tampering import Store, add_event, make_store

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def store(key: Ed25519PrivateKey, tmp_path: Path) -> Store:
    return make_store(key, tmp_path / "witness")


def _checkpoints() -> list[tuple[int, str]]:
    return list(SignedCheckpoint.objects.order_by("tree_size").values_list("tree_size", "note"))


def test_the_note_says_under_its_signature_up_to_when_everything_is_sealed(
    users: list[UUID], key: Ed25519PrivateKey
) -> None:
    before = timezone.now()
    note = checkpoint_all(key)
    last = SignedCheckpoint.objects.order_by("tree_size").last()
    assert last is not None

    settled_until = open_note(note, key.public_key()).settled_until
    assert settled_until == last.settled_until
    assert settled_until is not None
    assert before < settled_until < timezone.now()
    later = note.replace(f"={settled_until:%Y}-", "=2099-")
    with pytest.raises(InvalidCheckpoint, match="does not hold"):
        open_note(later, key.public_key())


@pytest.mark.parametrize(
    "extension", ["settled-until=yesterday", "something-else", "settled-until=2026-01-01T00:00Z\nx"]
)
def test_a_note_with_another_line_is_no_checkpoint(key: Ed25519PrivateKey, extension: str) -> None:
    note = checkpoints.sign(Checkpoint(1, b"x" * 32), key).replace("\n\n", f"\n{extension}\n\n")
    with pytest.raises(InvalidCheckpoint):
        open_note(note, key.public_key())


def _as_before_the_time_was_signed(key: Ed25519PrivateKey) -> None:
    for row in SignedCheckpoint.objects.all():
        row.note = checkpoints.sign(Checkpoint(row.tree_size, bytes(row.root)), key)
        row.save()


def test_notes_of_the_first_version_verify_and_the_next_one_is_of_the_second(store: Store) -> None:
    _as_before_the_time_was_signed(store.key)
    store.witness.unlink()
    witness.catch_up(store.witness)
    verdict = verify(public_key=store.key.public_key(), witness=store.witness)
    assert verdict.divergences == []
    assert verdict.witness is not None
    assert (verdict.witness.notes, verdict.witness.size) == (4, 12)

    store.sign_again()
    witness.catch_up(store.witness)

    opened = [open_note(note, store.key.public_key()) for note in store.notes()]
    assert [each.settled_until is None for each in opened] == [True] * 4 + [False]
    assert verify(public_key=store.key.public_key(), witness=store.witness).divergences == []


@pytest.mark.usefixtures("_as_superuser")
def test_an_event_below_notes_of_the_first_version_is_named_and_their_column_moved_ahead_stops_no_sealing(
    store: Store,
) -> None:
    _as_before_the_time_was_signed(store.key)
    store.execute("UPDATE audit.audit_checkpoint SET settled_until = now() + interval '1 year'")
    store.forge("5 min")

    assert [each.kind for each in verify(public_key=store.key.public_key()).divergences] == ["unsealed"]
    checkpoint_create(key=store.key, now=timezone.now())
    assert tree_size() == 13


ATTACKS: dict[str, tuple[str, str]] = {
    "settled_until": ("settled_until = settled_until + interval '1 year'", "The column settled_until"),
    "root": ("root = sha256('')", "The column root"),
    "frontier": ("frontier = ARRAY[sha256(''), sha256('')]", "The column frontier"),
    "size": ("tree_size = 13", "The last checkpoint has 13 events, the leaves end at another number"),
    "note": ("note = 'none'", "This is not a signed checkpoint"),
}


@pytest.mark.usefixtures("_as_superuser")
@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_is_signed_on_top_of_what_was_not_signed(store: Store, name: str) -> None:
    assignment, sentence = ATTACKS[name]
    store.execute(f"UPDATE audit.audit_checkpoint SET {assignment} WHERE tree_size = 12")
    before = _checkpoints()

    with pytest.raises(CheckpointRefused, match=sentence):
        checkpoint_create(key=store.key, now=timezone.now())

    assert _checkpoints() == before


@pytest.mark.usefixtures("_as_superuser")
@pytest.mark.parametrize(
    ("attack", "sentence"),
    [
        (lambda store: store.forget_leaves(9), "it was set back"),
        (lambda store: (store.rewrite(store.users[1]), store.forget_leaves(9), store.sign_again()), "does not have"),
    ],
    ids=["set back", "rewritten"],
)
def test_a_sealer_whose_witness_saw_something_else_signs_nothing(
    store: Store, attack: Callable[[Store], Any], sentence: str
) -> None:
    attack(store)
    add_event(store.users[2])
    before, notes = _checkpoints(), store.notes()

    with pytest.raises(OtherDatabase, match=sentence):
        CheckpointSigner(store.key, store.witness).advance(timezone.now())

    assert (_checkpoints(), store.notes()) == (before, notes)


@pytest.mark.usefixtures("_as_superuser")
def test_a_sealer_knows_what_it_signed_where_the_witness_was_emptied_with_the_store(store: Store) -> None:
    signer = CheckpointSigner(store.key, store.witness)
    assert signer.advance(timezone.now())
    store.witness.write_text("")
    store.rewrite(store.users[1])
    store.forget_leaves(0)
    store.sign_again()
    add_event(store.users[2])

    with pytest.raises(CheckpointRefused, match="set back or rewritten"):
        signer.advance(timezone.now())


@pytest.mark.usefixtures("_as_superuser")
def test_what_is_dated_before_the_sealer_last_looked_stays_unsealed_even_where_nothing_was_recorded_since(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_signer, "OVERLAP", timedelta(0))
    signer = CheckpointSigner(store.key)
    assert signer.advance(timezone.now())
    ((between,),) = store.execute("SELECT clock_timestamp()")
    assert signer.advance(timezone.now()) is None
    store.forge("0 s")
    store.execute("UPDATE events.event SET recorded_at = %s WHERE payload = 'forged'", between)

    assert signer.advance(timezone.now()) is None
    assert verify(public_key=store.key.public_key()).pending == 1


def test_a_refusal_is_in_the_heartbeat_and_ends_a_single_run(store: Store) -> None:
    with pytest.raises(CommandError, match="signed by another key"):
        call_command("run_checkpointer", once=True, stdout=io.StringIO(), stderr=io.StringIO())

    beat = ProcessHeartbeat.objects.get(name="checkpointer")
    assert beat.state == "down"
    assert "No checkpoint was signed" in beat.detail


class TestOpenTransactions:
    @pytest.fixture
    def other(self) -> Any:
        other: Any = connections.create_connection("default")
        other.set_autocommit(False)
        yield other
        other.rollback()
        other.close()

    def test_one_that_only_reads_holds_nothing_up(self, other: Any, users: list[UUID], key: Ed25519PrivateKey) -> None:
        with other.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM events.event")
        add_event(users[0])

        checkpoint = checkpoint_create(key=key, now=timezone.now())

        assert checkpoint is not None
        assert checkpoint.events == 13

    def test_one_that_wrote_is_waited_for_and_its_late_event_is_sealed(
        self, other: Any, users: list[UUID], key: Ed25519PrivateKey
    ) -> None:
        checkpoint_all(key)
        with other.cursor() as cursor:
            cursor.execute(_APPEND, [uuid4()])
        add_event(users[0])

        assert checkpoint_create(key=key, now=timezone.now()) is None
        verdict = verify(public_key=key.public_key())
        assert (verdict.divergences, verdict.pending) == ([], 1)

        other.commit()
        checkpoint_all(key)
        verdict = verify(public_key=key.public_key())
        assert (verdict.divergences, verdict.leaves, verdict.pending) == ([], 14, 0)

    def test_an_event_of_a_transaction_that_began_to_write_after_the_seal_is_no_divergence(
        self, other: Any, users: list[UUID], key: Ed25519PrivateKey
    ) -> None:
        with other.cursor() as cursor:
            cursor.execute("SELECT 1")
            checkpoint_all(key)
            cursor.execute(_APPEND, [uuid4()])
        other.commit()

        assert verify(public_key=key.public_key()).divergences == []
        checkpoint_all(key)
        assert verify(public_key=key.public_key()).leaves == 13


_APPEND = """
    SELECT events.append_event(gen_random_uuid(), 'user.updated', 1, 'user', %s, now(), NULL, gen_random_uuid(), NULL,
                               '', '', 'kafka', 'user.events', 1)
"""


class TestClocks:
    def test_a_step_within_the_overlap_is_sealed_as_ever(self, store: Store) -> None:
        """The last checkpoint is a minute ahead of the clock."""
        _move_last_checkpoint(store, timedelta(minutes=1))
        add_event(store.users[0])

        assert checkpoint_create(key=store.key, now=timezone.now())
        assert verify(public_key=store.key.public_key()).divergences == []

    def test_a_clock_far_behind_the_last_checkpoint_is_told(self, store: Store) -> None:
        _move_last_checkpoint(store, OVERLAP * 2)

        with pytest.raises(CheckpointRefused, match=r"clock .* is behind the last checkpoint"):
            checkpoint_create(key=store.key, now=timezone.now())

    def test_a_database_whose_clock_is_not_the_sealer_s_is_told(self, store: Store) -> None:
        with pytest.raises(CheckpointRefused, match="differ by more than a minute"):
            checkpoint_create(key=store.key, now=datetime(2020, 1, 1, tzinfo=UTC))


def _move_last_checkpoint(store: Store, ahead: timedelta) -> None:
    last = SignedCheckpoint.objects.get(tree_size=12)
    last.settled_until = timezone.now() + ahead
    last.note = checkpoints.sign(Checkpoint(12, bytes(last.root), last.settled_until), store.key)
    last.save()


def test_events_that_no_sealer_seals_are_named_with_what_may_be_the_reason(
    users: list[UUID], key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verify(public_key=key.public_key()).divergences == [], "seconds old"
    monkeypatch.setattr("apps.audit.pending_events.CHECKPOINT_WITHIN", timedelta(0))

    (found,) = verify(public_key=key.public_key()).divergences
    assert found.kind == "unsealed"
    assert "the checkpointer is stopped, refuses (see its log), or is held up by a transaction" in found.message
