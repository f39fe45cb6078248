"""Recorded restores from a backup: each closes the witness file and begins a new one.

The closed file of epoch 1 stays beside the witness as `NAME.epoch-1`. It has checkpoints over events that the database
lost. They are no divergence if an `audit.restored` event names the file's SHA-256.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from django.db import connection, transaction

from apps.audit import witness
from apps.audit.chains import Divergence
from apps.audit.files import file_digest, sync_to_disk
from apps.audit.models import SignedCheckpoint
from apps.audit.selectors import tree_size
from apps.core.errors import PlatformError
from apps.core.ids import new_id
from apps.events.store.lineage import lineage_current
from apps.events.store.publish import publish
from apps.messages.audit import StoreRestored

_NOTES_AT_ONCE = 1_000
_RECORDED = "SELECT payload FROM events.event WHERE event_type = 'audit.restored' ORDER BY recorded_at"


class NotARestoredState(PlatformError):
    """No witness file has the database's last checkpoint."""

    code = "not_a_restored_state"
    http_status = 409


@dataclass(frozen=True)
class RestoreRecord:
    """One closed witness file. `kept_as` is None if there is no witness; `is_new` is False if it was recorded before.

    The file has checkpoints up to `witness_events`; the database agrees with it up to `sealed_events`.
    """

    kept_as: Path | None
    sealed_events: int
    witness_events: int
    is_new: bool


@dataclass(frozen=True)
class Fork:
    """The tree size up to which a witness file and the database agree, and the tree size of the file's last note."""

    common: int
    seen: int


def restore_record(
    *, restored_to: datetime, reason: str, operator: str, file: Path | None, now: datetime
) -> list[RestoreRecord]:
    """Publishes `audit.restored`, closes the witness file and begins a new one.

    It can be repeated after an interruption. The checkpointer must not run meanwhile. Raises NotARestoredState,
    WitnessDamaged, OSError.
    """
    restore = _Restore(restored_to, reason, operator, now)
    if file is None or not (file.exists() or closed_files(file)):
        is_new = not restore.is_recorded()
        if is_new:
            restore.publish(1, Fork(tree_size(), tree_size()), "")
        return [RestoreRecord(None, tree_size(), 0, is_new=is_new)]
    with witness.locked(file):
        if file.exists() and restore.is_recorded() and _is_of_new_epoch(file):
            return [RestoreRecord(None, tree_size(), tree_size(), is_new=False)]
        done = list(_close(file, restore))
        if file.exists():
            file.rename(_name(file, len(closed_files(file)) + 1))
            sync_to_disk(file.parent)
    witness.catch_up(file)
    return done


def _is_of_new_epoch(file: Path) -> bool:
    fork = _fork(file)
    is_closed = file_digest(file).hex() in {event["witness_sha256"] for event in recorded_restores()}
    return fork.common == fork.seen and not is_closed


@dataclass(frozen=True)
class _Restore:
    restored_to: datetime
    reason: str
    operator: str
    now: datetime

    def is_recorded(self) -> bool:
        return (lineage_current(), self.restored_to) in {
            (event["lineage"], datetime.fromisoformat(event["restored_to"])) for event in recorded_restores()
        }

    def publish(self, number: int, fork: Fork, digest: str) -> None:
        event = StoreRestored(
            restore_id=new_id(),
            operator=self.operator,
            reason=self.reason,
            restored_to=self.restored_to,
            lineage=lineage_current(),
            epoch=number + 1,
            sealed_events=fork.common,
            witness_events=fork.seen,
            witness_sha256=digest,
            recorded_at=self.now,
        )
        with transaction.atomic():
            publish(event, now=self.now)


def _close(file: Path, restore: _Restore) -> Iterator[RestoreRecord]:
    """Records every file that no restore has closed yet. Older files are among them if this restore went back behind
    an earlier one."""
    files = dict(enumerate([*closed_files(file), *([file] if file.exists() else [])], 1))
    forks = {number: _fork(path) for number, path in files.items()}
    size = tree_size()
    if size and size not in {fork.common for fork in forks.values()}:
        raise NotARestoredState(
            f"The database has {size} sealed events, and no file of the witness saw its last checkpoint: this is "
            "not an earlier state of the database that the witness belongs to. Nothing was recorded: see `manage.py "
            "audit_verify --witness FILE`."
        )
    known = {event["witness_sha256"] for event in recorded_restores()}
    with transaction.atomic():
        for number, path in files.items():
            digest = file_digest(path).hex()
            is_new = digest not in known
            if is_new:
                restore.publish(number, forks[number], digest)
            yield RestoreRecord(_name(file, number), forks[number].common, forks[number].seen, is_new=is_new)


def recorded_restores() -> list[dict[str, str]]:
    """The payloads of the `audit.restored` events in the live table, oldest first. Archived ones are not included."""
    with connection.cursor() as cursor:
        cursor.execute(_RECORDED)
        return [json.loads(bytes(payload)) for (payload,) in cursor.fetchall()]


def closed_files(file: Path) -> list[Path]:
    """The closed files beside the witness, oldest first."""
    numbers = [path.name.rpartition("-")[2] for path in file.parent.glob(f"{file.name}.epoch-*")]
    return [_name(file, number) for number in sorted(int(each) for each in numbers if each.isdigit())]


def compare_closed_files(file: Path, events: list[dict[str, str]]) -> Iterator[Divergence]:
    """Divergences of the closed files: not named by a restore, missing, or no longer in agreement with the database as
    far as they were when the restore was recorded."""
    of_digest = {event["witness_sha256"]: event for event in events}
    for path in closed_files(file):
        event = of_digest.pop(file_digest(path).hex(), None)
        if event is None:
            yield Divergence("witness", path.name, 0, "no restore is recorded that closed this file as it is now")
            continue
        fork = _fork(path)
        if fork.common < int(event["sealed_events"]):
            message = (
                f"the database had {event['sealed_events']} sealed events in common with it when the restore was "
                f"recorded, and has {fork.common} now"
            )
            yield Divergence("witness", path.name, fork.common, message)
    for digest, event in of_digest.items():
        if digest:
            name = _name(file, int(event["epoch"]) - 1).name
            yield Divergence("witness", name, 0, "a restore is recorded that closed this file, and it is not there")


def _name(file: Path, number: int) -> Path:
    return file.with_name(f"{file.name}.epoch-{number}")


def _fork(path: Path) -> Fork:
    notes = witness.notes(path)
    common, seen, is_same = 0, 0, True
    while batch := [(witness.size_of(note), note) for note in islice(notes, _NOTES_AT_ONCE)]:
        rows = SignedCheckpoint.objects.filter(tree_size__in=[size for size, _ in batch])
        stored = dict(rows.values_list("tree_size", "note"))
        for size, note in batch:
            is_same = is_same and stored.get(size) == note
            common, seen = (size if is_same else common), size
    return Fork(common, seen)
