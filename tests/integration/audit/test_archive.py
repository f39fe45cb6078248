"""Archived months survive a power failure and still verify; a month with undelivered events is not archived."""

import gzip
import hashlib
import os
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, connections, transaction
from django.utils import timezone

from apps.audit.event_row import digest_of, event_id_of, position_of
from apps.audit.files import file_digest
from apps.audit.models import ArchivedPartition, Leaf
from apps.audit.verification import verify
from apps.audit.write_archive import (
    NotTheOwner,
    NotYetCheckpointed,
    Partition,
    ReadBackMismatch,
    StillToBeSent,
    StoreInUse,
    write_archive,
)
from apps.events.models import EventStream, OutboxRow, StoredEvent
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated
from tests.support.database_roles import as_role

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_unsealed_month_cannot_be_archived(users: list[UUID], this_month: Partition, tmp_path: Path) -> None:
    with pytest.raises(NotYetCheckpointed):
        write_archive(this_month, folder=tmp_path, now=timezone.now())

    assert StoredEvent.objects.count() == 12
    assert ArchivedPartition.objects.count() == 0


def test_an_archived_month_leaves_the_table_and_still_verifies(
    checkpointed: list[UUID], key: Ed25519PrivateKey, this_month: Partition, tmp_path: Path
) -> None:
    row = write_archive(this_month, folder=tmp_path, now=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("SELECT events.ensure_partitions()")
    with transaction.atomic():
        publish(UserUpdated(user_id=checkpointed[0], changed=("name",)), now=timezone.now())

    verdict = verify(public_key=key.public_key(), archive_folder=tmp_path)
    assert (row.events, StoredEvent.objects.count(), verdict.events) == (12, 1, 13)
    assert verdict.divergences == []


def test_a_changed_archive_is_named(
    checkpointed: list[UUID], key: Ed25519PrivateKey, this_month: Partition, tmp_path: Path
) -> None:
    row = write_archive(this_month, folder=tmp_path, now=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("SELECT events.ensure_partitions()")
    (tmp_path / row.file_name).unlink()

    first = verify(public_key=key.public_key(), archive_folder=tmp_path).divergences[0]
    assert (first.kind, first.aggregate) == ("archive", this_month.name)


def _is_whole(partition: Partition, folder: Path) -> bool:
    """The month is in the database, and there is no archive file."""
    name = f"events.{partition.name}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM events.event WHERE tableoid = to_regclass(%s)", [name])
        (events,) = cursor.fetchone()
    return bool(events == 12 and not ArchivedPartition.objects.exists() and not list(folder.glob("*.copy.gz")))


def test_a_month_with_an_event_that_waits_to_be_sent_stays(
    checkpointed: list[UUID], this_month: Partition, tmp_path: Path
) -> None:
    first = StoredEvent.objects.get(aggregate_id=checkpointed[0], aggregate_seq=1)
    with transaction.atomic():
        OutboxRow.objects.create(
            event_id=first.event_id, recorded_at=first.recorded_at, transport="kafka", destination="user.events",
            key=checkpointed[0], slot=1, created_at=timezone.now(), next_attempt_at=timezone.now(),
        )  # fmt: skip

    sentence = r"has 1 events that were not delivered yet\..*parked_keys list.*archive again"
    with pytest.raises(StillToBeSent, match=sentence):
        write_archive(this_month, folder=tmp_path, now=timezone.now())
    assert _is_whole(this_month, tmp_path)
    assert OutboxRow.objects.count() == 1


def test_file_and_folder_are_on_the_disk_before_the_month_leaves(
    checkpointed: list[UUID], this_month: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[tuple[str, int]] = []
    elsewhere = connections.create_connection("default")

    def noted(descriptor: int) -> None:
        with elsewhere.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM audit.audit_archived_partition")
            brought.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, cursor.fetchone()[0]))

    monkeypatch.setattr(os, "fsync", noted)
    try:
        write_archive(this_month, folder=tmp_path, now=timezone.now())
    finally:
        elsewhere.close()

    assert brought == [(f"{this_month.name}.copy.partial", 0), (tmp_path.name, 0)]


@pytest.mark.parametrize("lost", ["the end", "everything", "a byte"])
def test_a_file_that_the_disk_does_not_give_back_keeps_the_month_in_the_database(
    checkpointed: list[UUID], this_month: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    def lose(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        if lost == "a byte":
            with Path(f"/proc/self/fd/{descriptor}").open("rb") as file:
                file.seek(size // 2)
                byte = file.read(1)[0]
            os.pwrite(descriptor, bytes([byte ^ 1]), size // 2)
        else:
            os.ftruncate(descriptor, size - 9 if lost == "the end" else 0)

    monkeypatch.setattr(os, "fsync", lose)
    with pytest.raises(ReadBackMismatch, match="stays in the database"):
        write_archive(this_month, folder=tmp_path, now=timezone.now())
    assert _is_whole(this_month, tmp_path)


def test_whoever_reads_the_store_is_not_disturbed_and_nobody_waits_long_behind_the_archive(
    checkpointed: list[UUID], this_month: Partition, tmp_path: Path
) -> None:
    reader: Any = connections.create_connection("default")
    reader.set_autocommit(False)
    try:
        with reader.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM events.event")
            began = timezone.now()
            with pytest.raises(StoreInUse, match="archive again when that has ended"):
                write_archive(this_month, folder=tmp_path, now=timezone.now())
        assert (timezone.now() - began).total_seconds() < 5
    finally:
        reader.rollback()
        reader.close()
    assert StoredEvent.objects.count() == 12
    assert not ArchivedPartition.objects.exists()


def test_only_the_owner_archives(checkpointed: list[UUID], this_month: Partition, tmp_path: Path) -> None:
    with as_role("staff_site"), pytest.raises(NotTheOwner, match="MUCKARD_DB_ROLE=owner"):
        write_archive(this_month, folder=tmp_path, now=timezone.now())
    assert _is_whole(this_month, tmp_path)


def test_an_archive_rewritten_with_all_that_the_database_says_of_it_is_exposed_by_the_seals(
    checkpointed: list[UUID], key: Ed25519PrivateKey, this_month: Partition, tmp_path: Path
) -> None:
    row = write_archive(this_month, folder=tmp_path, now=timezone.now())
    file = tmp_path / row.file_name
    lines = gzip.decompress(file.read_bytes()).splitlines()
    head, before = lines[-1].rsplit(b"\t", 2)[0], digest_of(lines[-2])
    digest = hashlib.sha256(before + head + b"\tforged").digest()
    lines[-1] = b"\t".join([head, rb"\\x" + b"forged".hex().encode(), rb"\\x" + digest.hex().encode()])
    file.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
    ArchivedPartition.objects.update(sha256=file_digest(file))
    aggregate_type, aggregate_id, _ = position_of(lines[-1])
    EventStream.objects.filter(aggregate_type=aggregate_type, aggregate_id=aggregate_id).update(last_hash=digest)

    divergences = verify(public_key=key.public_key(), archive_folder=tmp_path).divergences
    leaf = Leaf.objects.get(event_id=event_id_of(lines[-1]))
    assert [str(each) for each in divergences] == [
        f"seal: event {leaf.event_id} #{leaf.seal_no}: was changed after it was sealed and archived"
    ]


@pytest.mark.parametrize("lost", ["event", "month"])
def test_sealed_events_that_are_neither_stored_nor_archived_are_missed(
    checkpointed: list[UUID], key: Ed25519PrivateKey, this_month: Partition, tmp_path: Path, lost: str
) -> None:
    row = write_archive(this_month, folder=tmp_path, now=timezone.now())
    EventStream.objects.all().delete()
    file = tmp_path / row.file_name
    if lost == "month":
        ArchivedPartition.objects.all().delete()
    else:
        file.write_bytes(gzip.compress(b""))
        ArchivedPartition.objects.update(sha256=file_digest(file))

    divergences = verify(public_key=key.public_key(), archive_folder=tmp_path).divergences
    assert {each.kind for each in divergences} == {"seal"}


def test_a_truncated_archive_is_named_and_does_not_end_the_verification(
    checkpointed: list[UUID], key: Ed25519PrivateKey, this_month: Partition, tmp_path: Path
) -> None:
    row = write_archive(this_month, folder=tmp_path, now=timezone.now())
    file = tmp_path / row.file_name
    file.write_bytes(file.read_bytes()[:-20])

    messages = [each.message for each in verify(public_key=key.public_key(), archive_folder=tmp_path).divergences]
    assert f"{row.file_name} was changed" in messages
    assert any("cannot be read" in message for message in messages)


def test_two_archives_at_once_do_not_write_one_file(
    checkpointed: list[UUID], this_month: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []
    fsync = os.fsync

    def meanwhile(descriptor: int) -> None:
        def second() -> None:
            try:
                write_archive(this_month, folder=tmp_path, now=timezone.now())
            except StoreInUse as error:
                refused.append(error.message)
            finally:
                connections.close_all()

        if not refused:
            thread = Thread(target=second)
            thread.start()
            thread.join(timeout=20)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    row = write_archive(this_month, folder=tmp_path, now=timezone.now())

    assert refused == ["Another archive_events is at work. Archive again when that one has ended."]
    assert (row.events, [path.name for path in tmp_path.iterdir()]) == (12, [row.file_name])
    assert file_digest(tmp_path / row.file_name) == bytes(row.sha256)


def test_a_month_that_another_archive_has_taken_out_is_said(
    checkpointed: list[UUID], this_month: Partition, tmp_path: Path
) -> None:
    row = write_archive(this_month, folder=tmp_path, now=timezone.now())
    with pytest.raises(StoreInUse, match="has left the database meanwhile"):
        write_archive(this_month, folder=tmp_path, now=timezone.now())

    assert ArchivedPartition.objects.get().archived_at == row.archived_at
    assert file_digest(tmp_path / row.file_name) == bytes(row.sha256)
