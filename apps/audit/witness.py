"""The witness: an append-only file outside the database with every signed note, separated by empty lines.

An interrupted append leaves a partial note at the end. The next append completes it. A partial note that cannot be
completed is skipped.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from apps.audit.chains import Divergence
from apps.audit.checkpoints import ORIGIN, InvalidCheckpoint, open_note
from apps.audit.files import sync_to_disk
from apps.audit.models import SignedCheckpoint
from apps.audit.selectors import tree_size
from apps.core.errors import PlatformError

_FIRST_LINE = f"{ORIGIN}\n".encode()
_NOTE = re.compile(
    rf"{re.escape(ORIGIN)}\n(?P<size>\d+)\n[A-Za-z0-9+/]+=*\n(?:settled-until=[0-9T:.Z-]+\n)?"
    rf"\n— {re.escape(ORIGIN)} [A-Za-z0-9+/]+=*\n".encode()
)
_LINES_OF_A_NOTE = 6
# Many times the size of a note.
_WINDOW = 4096
_CHUNK = 1 << 20
_NOTES_AT_ONCE = 1_000

# The checkpointer appends each note right after its commit. A note that is missing for longer than this is a fault.
_APPENDED_WITHIN = timedelta(minutes=10)


class WitnessDamaged(PlatformError):
    """The file has content that is neither a signed note nor the beginning of one."""

    code = "witness_damaged"
    http_status = 422


class OtherDatabase(PlatformError):
    """The witness has a checkpoint that the database does not have."""

    code = "other_database"
    http_status = 409


def notes(path: Path) -> Iterator[str]:
    """Every complete note of the file, in the order of the file. Raises WitnessDamaged, OSError."""
    with path.open("rb") as file:
        rest = b""
        while chunk := file.read(_CHUNK):
            rest += chunk
            end = 0
            for note in _NOTE.finditer(rest):
                _refuse_what_is_no_note(rest[end : note.start()], path)
                yield note[0].decode()
                end = note.end()
            rest = rest[end:]
            if len(rest) > _WINDOW:
                break
    _refuse_what_is_no_note(rest, path)


def catch_up(path: Path) -> int:
    """Appends the signed notes of the database that the file lacks, syncs it to the disk, and returns how many.

    Call it after the checkpoints are committed: a note that the database does not have is a permanent divergence.
    Raises WitnessDamaged, OSError, DatabaseError.
    """
    # A second checkpointer, on standby, may use the same file.
    with locked(path), path.open("a+b") as file:
        size, partial_note = _end_of(file, path)
        added = 0
        lacking = SignedCheckpoint.objects.filter(tree_size__gt=size).order_by("tree_size")
        for note in lacking.values_list("note", flat=True).iterator():
            file.write(f"{note}\n".encode().removeprefix(partial_note))
            partial_note = b""
            added += 1
        if added:
            file.flush()
            os.fsync(file.fileno())
            sync_to_disk(path.parent)
    return added


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Excludes other processes that append to the file or rename it. Raises OSError."""
    # A separate lock file, because a restore renames the witness file.
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def size_of(note: str) -> int:
    """The note's tree size, without a check of its signature."""
    return int(note.split("\n", 2)[1])


def refuse_other_database(path: Path, size: int) -> None:
    """Raises OtherDatabase if the last note of the file is not in the database, whose tree has `size` leaves.

    A file that is missing or cannot be read is ignored: `catch_up` reports it.
    """
    with suppress(WitnessDamaged, OSError), path.open("rb") as file:
        note = _last_note(file, path)
        if note is None:
            return
        if note.tree_size > size:
            raise OtherDatabase(
                f"The witness saw {note.tree_size} sealed events, the database ends at {size}: it was set back. "
                "No checkpoint was signed. After a restore from a backup, record it: `manage.py record_restore`."
            )
        if not SignedCheckpoint.objects.filter(tree_size=note.tree_size, note=note.text).exists():
            raise OtherDatabase(
                f"The database does not have the checkpoint at size {note.tree_size} that the witness saw: it was "
                "rewritten, or is another one. No checkpoint was signed: see `manage.py audit_verify --witness FILE`."
            )


@dataclass
class WitnessComparison:
    """The extent of a comparison: the number of notes, and the tree size of the last one. `lacking` is the number of
    later checkpoints in the database, which the witness does not have yet."""

    notes: int = 0
    size: int = 0
    lacking: int = 0

    def __str__(self) -> str:
        text = f"compared with {self.notes:,} notes of the witness, up to {self.size:,} sealed events"
        return f"{text}; {self.lacking:,} later checkpoints are not in it yet" if self.lacking else text


def compare(
    path: Path, public_key: Ed25519PublicKey, now: datetime, compared: WitnessComparison
) -> Iterator[Divergence]:
    """Divergences between file and database: invalid notes, notes without a checkpoint, checkpoints without a note.

    Updates `compared`. Call it in a transaction with isolation level read committed: a note that was read is then
    compared with checkpoints that were committed before.
    """
    if not path.is_file():
        if SignedCheckpoint.objects.exists():
            yield Divergence("witness", path.name, 0, "there is no such file")
        return
    numbered = enumerate(_notes_until_damage(path), 1)
    number = 0
    set_back: Divergence | None = None
    while batch := list(islice(numbered, _NOTES_AT_ONCE)):
        seen: dict[int, tuple[int, str]] = {}
        since = compared.size
        for number, note in batch:
            try:
                size = open_note(note, public_key).tree_size
            except InvalidCheckpoint as error:
                yield Divergence("witness", path.name, number, error.message)
                continue
            if size <= compared.size:
                message = f"the note of size {size} stands after the one of size {compared.size}"
                yield Divergence("witness", path.name, number, message)
            seen[size] = number, note
            compared.notes, compared.size = compared.notes + 1, max(compared.size, size)
        # Compares complete notes, because the signature covers them; the other columns are not signed.
        rows = SignedCheckpoint.objects.filter(tree_size__gt=since, tree_size__lte=compared.size)
        stored = dict(rows.order_by("tree_size").values_list("tree_size", "note"))
        ends_at = tree_size()
        for size, (number, note) in seen.items():
            if size > ends_at:
                message = f"the witness saw {size} sealed events, the database ends at {ends_at}: it was set back"
                set_back = Divergence("witness", path.name, number, message)
            elif stored.get(size) != note:
                message = f"the database does not have the checkpoint at size {size} that the witness saw"
                yield Divergence("witness", path.name, number, message)
        for size in stored.keys() - seen.keys():
            message = f"it lacks the checkpoint at size {size}: a note was taken out of it"
            yield Divergence("witness", path.name, compared.notes, message)
    if set_back is not None:
        yield set_back
    yield from _lacking(path, public_key, now, compared, is_empty=number == 0)


def _lacking(
    path: Path, public_key: Ed25519PublicKey, now: datetime, compared: WitnessComparison, *, is_empty: bool
) -> Iterator[Divergence]:
    rows = SignedCheckpoint.objects.filter(tree_size__gt=compared.size).order_by("tree_size")
    compared.lacking = rows.count()
    first = rows.first()
    if first is None:
        return
    if is_empty:
        message = f"it has no note, and the database has {compared.lacking} checkpoints"
        yield Divergence("witness", path.name, 0, message)
        return
    with suppress(InvalidCheckpoint):
        sealed_at = open_note(first.note, public_key).settled_until or first.sealed_at
        if now - sealed_at > _APPENDED_WITHIN:
            message = (
                f"it ends at size {compared.size}, and the database has {compared.lacking} checkpoints after it: the "
                "file was cut short, is an old copy, or the checkpointer does not reach it"
            )
            yield Divergence("witness", path.name, compared.notes, message)


def _notes_until_damage(path: Path) -> Iterator[str]:
    """The notes, followed by an empty text, which is an invalid note, if the file has other content."""
    try:
        yield from notes(path)
    except WitnessDamaged:
        yield ""


@dataclass(frozen=True)
class _LastNote:
    tree_size: int
    text: str


def _last_note(file: IO[bytes], path: Path) -> _LastNote | None:
    window, found = _window(file, path)
    return _LastNote(int(found["size"]), window[found.start() : found.end()].decode()) if found else None


def _end_of(file: IO[bytes], path: Path) -> tuple[int, bytes]:
    """The tree size of the last note (0 if there is none), and the partial note after it."""
    window, last = _window(file, path)
    return (int(last["size"]) if last else 0), window[last.end() if last else 0 :].lstrip(b"\n")


def _window(file: IO[bytes], path: Path) -> tuple[bytes, re.Match[bytes] | None]:
    """The last bytes of the file, and the match of the last note in them. Raises WitnessDamaged."""
    start = max(0, file.seek(0, 2) - _WINDOW)
    file.seek(start)
    window = file.read()
    last = max(_NOTE.finditer(window), key=lambda note: note.start(), default=None)
    rest = window[last.end() if last else 0 :].lstrip(b"\n")
    if not _is_beginning(rest) or (start and not last):
        raise WitnessDamaged(
            f"{path} does not end with a signed note. Nothing was written to it: name another file, or move this one "
            "away and keep it; a new one gets all notes from the beginning."
        )
    return window, last


def _refuse_what_is_no_note(between: bytes, path: Path) -> None:
    if not _is_beginning(between.lstrip(b"\n")):
        raise WitnessDamaged(f"{path} holds something that is not a signed note, nor the beginning of one.")


def _is_beginning(text: bytes) -> bool:
    """Whether the text is empty or may be the beginning of a note."""
    return text.count(b"\n") < _LINES_OF_A_NOTE and (text.startswith(_FIRST_LINE) or _FIRST_LINE.startswith(text))
