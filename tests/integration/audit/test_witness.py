"""The witness file has every signed note of the database, whatever interrupts the checkpointer. It exposes a database
that lacks one of its checkpoints."""

import io
import os
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from apps.audit import witness
from apps.audit.models import Leaf, SignedCheckpoint
from apps.audit.selectors import tree_size
from apps.audit.verification import verify
from apps.audit.witness import WitnessDamaged
from apps.events.models import ProcessHeartbeat, StoredEvent
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated
from tests.integration.audit.conftest import checkpoint_all

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "witness"


def _checkpoint_one_more(key: Ed25519PrivateKey) -> str:
    with transaction.atomic():
        publish(UserUpdated(user_id=uuid4(), changed=("name",)), now=timezone.now())
    return checkpoint_all(key)


def _divergences(key: Ed25519PrivateKey, file: Path) -> list[str]:
    return [str(each) for each in verify(public_key=key.public_key(), witness=file).divergences]


def _execute(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def test_every_note_of_the_file_is_compared(key: Ed25519PrivateKey, file: Path) -> None:
    for _ in range(3):
        _checkpoint_one_more(key)
        witness.catch_up(file)

    assert len(list(witness.notes(file))) == 3
    assert _divergences(key, file) == []


def test_notes_stand_in_the_file_as_they_always_did(key: Ed25519PrivateKey, file: Path) -> None:
    first, second = _checkpoint_one_more(key), _checkpoint_one_more(key)

    assert witness.catch_up(file) == 2
    assert file.read_text() == f"{first}\n{second}\n"
    assert list(witness.notes(file)) == [first, second]


def test_a_witness_given_later_gets_every_note_from_the_beginning_and_none_twice(
    key: Ed25519PrivateKey, file: Path
) -> None:
    notes = [_checkpoint_one_more(key) for _ in range(4)]

    assert (witness.catch_up(file), witness.catch_up(file)) == (4, 0)
    assert list(witness.notes(file)) == notes


def test_what_was_not_committed_is_not_in_the_file(
    users: list[UUID], key: Ed25519PrivateKey, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise OperationalError("the server is gone")

    monkeypatch.setattr(SignedCheckpoint.objects, "create", refuse)
    with pytest.raises(OperationalError):
        checkpoint_all(key)

    assert witness.catch_up(file) == 0
    assert list(witness.notes(file)) == []


def test_a_sealer_that_was_killed_before_the_append_heals_at_its_next_step_with_nothing_new_to_seal(
    key: Ed25519PrivateKey, file: Path
) -> None:
    note = _checkpoint_one_more(key)
    _run_checkpointer_once(file)

    assert list(witness.notes(file)) == [note]


@pytest.mark.parametrize("kept", [1, 13, 14, 16, 40, 61, 63, 80, -2, -1])
def test_half_a_note_at_the_end_is_completed_by_the_next_append(key: Ed25519PrivateKey, file: Path, kept: int) -> None:
    first, second = _checkpoint_one_more(key), _checkpoint_one_more(key)
    whole = f"{first}\n{second}".encode()
    file.write_bytes(f"{first}\n".encode() + second.encode()[:kept])
    assert list(witness.notes(file)) == [first]
    assert _divergences(key, file) == []

    assert witness.catch_up(file) == 1
    assert file.read_bytes().rstrip(b"\n") == whole.rstrip(b"\n")


def test_half_a_note_that_was_never_committed_is_passed_over(key: Ed25519PrivateKey, file: Path) -> None:
    first, second = _checkpoint_one_more(key), _checkpoint_one_more(key)
    file.write_text(f"{first}\nmuckard/audit\n999\nAAAA")

    assert witness.catch_up(file) == 1
    assert list(witness.notes(file)) == [first, second]
    assert _divergences(key, file) == []


def test_what_was_appended_is_on_the_disk(key: Ed25519PrivateKey, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brought: list[tuple[str, int]] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        brought.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), file.stat().st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    note = _checkpoint_one_more(key)
    witness.catch_up(file)

    size = len(note.encode()) + 1
    assert brought == [(str(file), size), (str(file.parent), size)]


@pytest.mark.parametrize("content", ["127.0.0.1 localhost\n", "x" * 10_000])
def test_a_file_that_is_no_witness_is_left_alone(key: Ed25519PrivateKey, file: Path, content: str) -> None:
    _checkpoint_one_more(key)
    file.write_text(content)

    with pytest.raises(WitnessDamaged, match="does not end with a signed note"):
        witness.catch_up(file)
    assert file.read_text() == content


def test_a_line_that_is_no_note_is_named(key: Ed25519PrivateKey, file: Path) -> None:
    first, second = _checkpoint_one_more(key), _checkpoint_one_more(key)
    file.write_text(f"{first}\nsomething else\n\n{second}\n")

    assert _divergences(key, file) == [f"witness: {file.name} #2: This is not a signed checkpoint."]


def test_a_note_with_another_signature_is_named(key: Ed25519PrivateKey, file: Path) -> None:
    note = _checkpoint_one_more(key)
    witness.catch_up(file)
    signature = note.split(" ")[2]
    file.write_text(note.replace(signature, f"{signature[:20]}AAAAAAAA{signature[28:]}"))

    assert _divergences(key, file) == [
        f"witness: {file.name} #1: The signature of the checkpoint at size 1 does not hold."
    ]


def test_a_witness_that_is_not_there_is_named(checkpointed: list[UUID], key: Ed25519PrivateKey, file: Path) -> None:
    assert _divergences(key, file) == [f"witness: {file.name} #0: there is no such file"]


def test_a_witness_that_cannot_be_written_stops_nothing_and_is_seen(users: list[UUID], tmp_path: Path) -> None:
    _run_checkpointer_once(tmp_path / "missing" / "witness")

    assert tree_size() == 12
    beat = ProcessHeartbeat.objects.get(name="checkpointer")
    assert beat.state == "down"
    assert beat.detail.startswith("The witness lacks notes: ")


@pytest.mark.usefixtures("_as_superuser")
class TestAgainstTheDatabase:
    def test_a_log_emptied_with_its_seals_is_exposed(
        self, users: list[UUID], key: Ed25519PrivateKey, file: Path
    ) -> None:
        _checkpoint_one_more(key)
        witness.catch_up(file)
        _execute("DELETE FROM events.event; DELETE FROM events.stream")
        _execute("DELETE FROM audit.audit_leaf; DELETE FROM audit.audit_checkpoint")

        assert verify(public_key=key.public_key()).is_whole, "without the witness the empty log looks whole"
        assert _divergences(key, file) == [
            f"witness: {file.name} #1: the witness saw 13 sealed events, the database ends at 0: it was set back"
        ]

    def test_a_log_rolled_back_to_an_older_checkpoint_is_exposed(self, key: Ed25519PrivateKey, file: Path) -> None:
        for _ in range(3):
            _checkpoint_one_more(key)
        witness.catch_up(file)
        kept = StoredEvent.objects.get(event_id=Leaf.objects.get(seal_no=0).event_id).aggregate_id
        _execute("DELETE FROM events.event WHERE aggregate_id <> %s", kept)
        _execute("DELETE FROM events.stream WHERE aggregate_id <> %s", kept)
        _execute("DELETE FROM audit.audit_leaf WHERE seal_no > 0")
        _execute("DELETE FROM audit.audit_checkpoint WHERE tree_size > 1")

        assert verify(public_key=key.public_key()).is_whole
        assert _divergences(key, file) == [
            f"witness: {file.name} #3: the witness saw 3 sealed events, the database ends at 1: it was set back"
        ]

    def test_a_log_sealed_anew_by_whoever_has_the_key_is_exposed(self, key: Ed25519PrivateKey, file: Path) -> None:
        _checkpoint_one_more(key)
        witness.catch_up(file)
        for table in ("events.event", "events.stream", "audit.audit_leaf", "audit.audit_checkpoint"):
            _execute(f"DELETE FROM {table}")
        _checkpoint_one_more(key)

        assert verify(public_key=key.public_key()).is_whole
        assert _divergences(key, file) == [
            f"witness: {file.name} #1: the database does not have the checkpoint at size 1 that the witness saw"
        ]


def _run_checkpointer_once(file: Path) -> None:
    call_command("run_checkpointer", once=True, witness=file, stdout=io.StringIO(), stderr=io.StringIO())
