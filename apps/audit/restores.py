"""Restores from a backup that were recorded: each closes a file of the witness and begins the next.

The file of epoch 1 is kept beside the witness as `NAME.epoch-1`. It saw events that the database has lost: an
`audit.restored` event that names its SHA-256 is what makes that no divergence.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from django.db import connection, transaction
from django.db.models import Max

from apps.audit import witness
from apps.audit.chains import Divergence
from apps.audit.files import bring_to_disk, file_digest
from apps.audit.models import SealedCheckpoint
from apps.core.errors import PlatformError
from apps.core.ids import new_id
from apps.events.store.lineage import lineage_current
from apps.events.store.publish import publish
from apps.messages.audit import StoreRestored

_NOTES_AT_ONCE = 1_000
_RECORDED = "SELECT payload FROM events.event WHERE event_type = 'audit.restored' ORDER BY recorded_at"


class NotARestoredState(PlatformError):
    """No file of the witness saw the database as it is now."""

    code = "not_a_restored_state"
    http_status = 409


@dataclass(frozen=True)
class Recorded:
    """A file of the witness that a restore has closed."""

    kept_as: Path | None
    sealed_events: int
    witness_events: int
    is_new: bool


@dataclass(frozen=True)
class Fork:
    """Up to how many sealed events a file of the witness and the database are the same, and how many it saw."""

    common: int
    seen: int


def restore_record(
    *, restored_to: datetime, reason: str, operator: str, file: Path | None, now: datetime
) -> list[Recorded]:
    """Publishes `audit.restored` and begins a new file of the witness; the one before is kept. Run again after it was
    cut short, it does what is left. The sealer must not run. Raises NotARestoredState, WitnessDamaged, OSError.
    """
    restore = _Restore(restored_to, reason, operator, now)
    if file is None or not (file.exists() or kept(file)):
        is_new = not restore.is_recorded()
        if is_new:
            restore.publish(1, Fork(_ends_at(), _ends_at()), "")
        return [Recorded(None, _ends_at(), 0, is_new=is_new)]
    with witness.locked(file):
        if file.exists() and restore.is_recorded() and _saw_only_this(file):
            return [Recorded(None, _ends_at(), _ends_at(), is_new=False)]
        done = list(_close(file, restore))
        if file.exists():
            file.rename(_name(file, len(kept(file)) + 1))
            bring_to_disk(file.parent)
    witness.catch_up(file)
    return done


def _saw_only_this(file: Path) -> bool:
    """Whether this is the file of the new epoch already."""
    fork = _fork(file)
    is_closed = file_digest(file).hex() in {event["witness_sha256"] for event in recorded()}
    return fork.common == fork.seen and not is_closed


@dataclass(frozen=True)
class _Restore:
    restored_to: datetime
    reason: str
    operator: str
    now: datetime

    def is_recorded(self) -> bool:
        return (lineage_current(), self.restored_to) in {
            (event["lineage"], datetime.fromisoformat(event["restored_to"])) for event in recorded()
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


def _close(file: Path, restore: _Restore) -> Iterator[Recorded]:
    """Records every file that no restore has closed yet: an older one too, where the restore went behind its own."""
    files = dict(enumerate([*kept(file), *([file] if file.exists() else [])], 1))
    forks = {number: _fork(path) for number, path in files.items()}
    ends_at = _ends_at()
    if ends_at and ends_at not in {fork.common for fork in forks.values()}:
        raise NotARestoredState(
            f"The database has {ends_at} sealed events, and no file of the witness saw its last checkpoint: this is "
            "not an earlier state of the database that the witness belongs to. Nothing was recorded: see `manage.py "
            "audit_verify --witness FILE`."
        )
    known = {event["witness_sha256"] for event in recorded()}
    with transaction.atomic():
        for number, path in files.items():
            digest = file_digest(path).hex()
            is_new = digest not in known
            if is_new:
                restore.publish(number, forks[number], digest)
            yield Recorded(_name(file, number), forks[number].common, forks[number].seen, is_new=is_new)


def recorded() -> list[dict[str, str]]:
    """The payloads of the restores that were recorded, oldest first; those of archived months are not among them."""
    with connection.cursor() as cursor:
        cursor.execute(_RECORDED)
        return [json.loads(bytes(payload)) for (payload,) in cursor.fetchall()]


def kept(file: Path) -> list[Path]:
    """The closed files, oldest first."""
    numbers = [path.name.rpartition("-")[2] for path in file.parent.glob(f"{file.name}.epoch-*")]
    return [_name(file, number) for number in sorted(int(each) for each in numbers if each.isdigit())]


def compare_kept(file: Path, events: list[dict[str, str]]) -> Iterator[Divergence]:
    """Closed files that no restore accounts for, or that saw, before its restore, what the database does not have."""
    of_digest = {event["witness_sha256"]: event for event in events}
    for path in kept(file):
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


def _ends_at() -> int:
    return SealedCheckpoint.objects.aggregate(size=Max("tree_size"))["size"] or 0


def _fork(path: Path) -> Fork:
    notes = witness.notes(path)
    common, seen, is_same = 0, 0, True
    while batch := [(witness.size_of(note), note) for note in islice(notes, _NOTES_AT_ONCE)]:
        rows = SealedCheckpoint.objects.filter(tree_size__in=[size for size, _ in batch])
        stored = dict(rows.values_list("tree_size", "note"))
        for size, note in batch:
            is_same = is_same and stored.get(size) == note
            common, seen = (size if is_same else common), size
    return Fork(common, seen)
