"""A bundle of archived and live events: in order, each with the hash of the event before it."""

import gzip
import zipfile
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from django.utils import timezone

from apps.audit import bundle, verify_bundle
from apps.audit.bundle_contents import StoreDoesNotVerify
from apps.audit.event_row import event_id_of, position_of
from apps.audit.files import file_digest
from apps.audit.filters import EventFilter
from apps.audit.models import ArchivedPartition
from apps.audit.read_archive import ArchiveMissing
from apps.audit.write_archive import Partition, write_archive
from apps.events.models import OutboxRow
from apps.events.store.publish import publish
from apps.messages.base import Event
from apps.messages.user import UserLoggedIn, UserUpdated
from tests.integration.audit.conftest import checkpoint_all

pytestmark = pytest.mark.django_db(transaction=True)

UPDATED, LOGGED_IN = "user.updated", "user.logged_in"


@pytest.fixture
def ids() -> list[UUID]:
    return sorted(uuid4() for _ in range(3))


def _tell(ids: list[UUID], kinds: str) -> None:
    """One event of each user for each letter: u is updated, l logged in."""
    for kind in kinds:
        for user_id in ids:
            event: Event = UserUpdated(user_id=user_id, changed=("name",))
            if kind == "l":
                event = UserLoggedIn(user_id=user_id, session_id=uuid4(), method="password")
            with transaction.atomic():
                publish(event, now=timezone.now())
    OutboxRow.objects.all().delete()


@pytest.fixture
def stored(ids: list[UUID], key: Ed25519PrivateKey, this_month: Partition, tmp_path: Path) -> ArchivedPartition:
    """Four events of each user are archived, three more are not; the last one is pending."""
    _tell(ids, "ulul")
    checkpoint_all(key)
    row = write_archive(this_month, folder=tmp_path, now=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("SELECT events.ensure_partitions()")
    _tell(ids, "lu")
    checkpoint_all(key)
    _tell(ids, "u")
    return row


def _export(key: Ed25519PrivateKey, folder: Path, **filters: Any) -> tuple[list[tuple[UUID, int]], int, int]:
    """Users and event numbers in the bundle, the number of previous hashes in it, and the number of leaves."""
    exported = bundle.export(
        filters=EventFilter(**filters),
        path=folder / "bundle.zip",
        key=key,
        operator="ada",
        now=timezone.now(),
        archive_folder=folder,
    )
    with zipfile.ZipFile(exported.path) as file:
        lines, previous = file.read("events.copy").splitlines(), file.read("previous.tsv").splitlines()
    places = [position_of(line) for line in lines]
    found = verify_bundle.verify_bundle(exported.path)
    assert (found.events, found.leaves) == (exported.events, exported.leaves) == (len(lines), exported.leaves)
    return [(UUID(aggregate_id), number) for _, aggregate_id, number in places], len(previous), exported.leaves


def _numbers(ids: list[UUID], *numbers: int) -> list[tuple[UUID, int]]:
    return [(user_id, number) for user_id in ids for number in numbers]


def test_all_events_are_in_the_order_of_their_aggregates(
    stored: ArchivedPartition, ids: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    assert _export(key, tmp_path) == (_numbers(ids, 1, 2, 3, 4, 5, 6, 7), 0, 18)


def test_the_hash_before_comes_from_where_the_event_before_is(
    stored: ArchivedPartition, ids: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    # The predecessor of 3 is archived, that of 6 is live, that of 7 matches the filter.
    assert _export(key, tmp_path, event_types=(UPDATED,)) == (_numbers(ids, 1, 3, 6, 7), 6, 9)
    # The predecessors of 2 and 4 are archived, that of 5 matches the filter.
    assert _export(key, tmp_path, event_types=(LOGGED_IN,)) == (_numbers(ids, 2, 4, 5), 6, 9)


def test_one_user_s_bundle_has_nothing_of_the_others(
    stored: ArchivedPartition, ids: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    assert _export(key, tmp_path, user_id=ids[1], event_types=(LOGGED_IN,)) == (_numbers(ids[1:2], 2, 4, 5), 2, 3)
    with zipfile.ZipFile(tmp_path / "bundle.zip") as file:
        content = b"".join(file.read(name) for name in file.namelist())
    assert not any(str(other).encode() in content for other in (ids[0], ids[2]))


def _rewrite(row: ArchivedPartition, folder: Path, lines: list[bytes]) -> None:
    file = folder / row.file_name
    file.write_bytes(gzip.compress(b"".join(lines)))
    ArchivedPartition.objects.update(sha256=file_digest(file))


def test_a_file_in_the_order_of_another_language_is_put_in_order(
    stored: ArchivedPartition, ids: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    lines = gzip.decompress((tmp_path / stored.file_name).read_bytes()).splitlines(keepends=True)
    assert [position_of(line)[2] for line in lines] == [1, 2, 3, 4] * 3
    _rewrite(stored, tmp_path, lines[8:] + lines[4:8] + lines[:4])

    assert _export(key, tmp_path, event_types=(UPDATED,)) == (_numbers(ids, 1, 3, 6, 7), 6, 9)


@pytest.mark.usefixtures("_as_superuser")
def test_an_archived_event_may_follow_on_a_live_one(
    ids: list[UUID], key: Ed25519PrivateKey, this_month: Partition, tmp_path: Path
) -> None:
    """The clock was set back across the end of a month."""
    _tell(ids, "ulu")
    checkpoint_all(key)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE events.kept AS SELECT * FROM events.event WHERE aggregate_seq = 2")
        try:
            row = write_archive(this_month, folder=tmp_path, now=timezone.now())
            cursor.execute("SELECT events.ensure_partitions()")
            cursor.execute("INSERT INTO events.event SELECT * FROM events.kept")
        finally:
            cursor.execute("DROP TABLE events.kept")
    lines = gzip.decompress((tmp_path / row.file_name).read_bytes()).splitlines(keepends=True)
    _rewrite(row, tmp_path, [line for line in lines if position_of(line)[2] != 2])

    assert _export(key, tmp_path) == (_numbers(ids, 1, 2, 3), 0, 9)
    assert _export(key, tmp_path, event_types=(UPDATED,)) == (_numbers(ids, 1, 3), 3, 6)


class TestAMonthThatIsNotAskedFor:
    @pytest.fixture
    def since(self, stored: ArchivedPartition) -> Any:
        ArchivedPartition.objects.update(starts_at="2020-01-01T00:00:00Z", ends_at="2020-02-01T00:00:00Z")
        (event,) = _live(5)[:1]
        return event

    def test_is_read_for_the_hash_before_an_event(
        self, since: Any, ids: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
    ) -> None:
        assert _export(key, tmp_path, since=since) == (_numbers(ids, 5, 6, 7), 3, 6)

    def test_is_asked_for_where_that_hash_can_only_be_there(
        self, since: Any, stored: ArchivedPartition, key: Ed25519PrivateKey, tmp_path: Path
    ) -> None:
        (tmp_path / stored.file_name).unlink()
        with pytest.raises(ArchiveMissing, match="Name its folder with --archive"):
            _export(key, tmp_path, since=since)
        assert not list(tmp_path.iterdir())

    def test_need_not_be_there_where_no_event_stands_on_it(
        self, since: Any, stored: ArchivedPartition, ids: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
    ) -> None:
        (tmp_path / stored.file_name).unlink()
        assert _export(key, tmp_path, since=since, event_types=(UPDATED,)) == (_numbers(ids, 6, 7), 3, 3)


def _live(number: int) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(occurred_at) FROM events.event WHERE aggregate_seq = %s", [number])
        return list(cursor.fetchone())


def test_an_event_that_is_archived_and_stored_is_not_exported_twice(
    stored: ArchivedPartition, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    lines = gzip.decompress((tmp_path / stored.file_name).read_bytes()).splitlines(keepends=True)
    assert event_id_of(lines[0]) != event_id_of(lines[1])
    _rewrite(stored, tmp_path, [lines[0], *lines])

    with pytest.raises(StoreDoesNotVerify, match="twice, or not in its place"):
        _export(key, tmp_path)
