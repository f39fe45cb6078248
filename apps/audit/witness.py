"""The witness: a file outside the database that holds every signed note, one after another with an empty line between.

It is only ever added to. Half a note that an interrupted append has left at its end is completed by the next one, or
passed over where it can never be completed.
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
from django.db.models import Max

from apps.audit.chains import Divergence
from apps.audit.checkpoints import ORIGIN, InvalidCheckpoint, open_note
from apps.audit.files import bring_to_disk
from apps.audit.models import SealedCheckpoint
from apps.core.errors import PlatformError

_FIRST_LINE = f"{ORIGIN}\n".encode()
_NOTE = re.compile(
    rf"{re.escape(ORIGIN)}\n(?P<size>\d+)\n[A-Za-z0-9+/]+=*\n(?:settled-until=[0-9T:.Z-]+\n)?"
    rf"\n— {re.escape(ORIGIN)} [A-Za-z0-9+/]+=*\n".encode()
)
_LINES_OF_A_NOTE = 6
# Many times the length of a note.
_WINDOW = 4096
_CHUNK = 1 << 20
_NOTES_AT_ONCE = 1_000

# The sealer appends each note a moment after it is in the database. What is lacking for longer than this is a fault.
_APPENDED_WITHIN = timedelta(minutes=10)


class WitnessDamaged(PlatformError):
    """The file holds something that is no signed note, nor the beginning of one."""

    code = "witness_damaged"
    http_status = 422


class OtherDatabase(PlatformError):
    """The witness saw what the database does not have."""

    code = "other_database"
    http_status = 409


def notes(path: Path) -> Iterator[str]:
    """Every whole note of the file, in the order in which they were appended. Raises WitnessDamaged, OSError."""
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
    """Appends every signed note of the database that the file lacks, and returns how many, once they are on the disk.

    Call it after the checkpoints are committed: a note that the database never had would be a false alarm for ever.
    Raises WitnessDamaged, OSError, DatabaseError.
    """
    # A second sealer, on standby, may have the same file.
    with locked(path), path.open("a+b") as file:
        tree_size, half_a_note = _end_of(file, path)
        added = 0
        lacking = SealedCheckpoint.objects.filter(tree_size__gt=tree_size).order_by("tree_size")
        for note in lacking.values_list("note", flat=True).iterator():
            file.write(f"{note}\n".encode().removeprefix(half_a_note))
            half_a_note = b""
            added += 1
        if added:
            file.flush()
            os.fsync(file.fileno())
            bring_to_disk(path.parent)
    return added


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nothing is appended to the file, and it gets no other name, by anybody else meanwhile. Raises OSError."""
    # A file of its own: the witness itself is given another name when a restore closes it.
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def size_of(note: str) -> int:
    return int(note.split("\n", 2)[1])


def refuse_other_database(path: Path, size: int) -> None:
    """Raises OtherDatabase where the last note of the file is not in the database, whose seals end at `size`.

    A file that cannot be read, or is not there yet, is for `catch_up` to tell.
    """
    with suppress(WitnessDamaged, OSError), path.open("rb") as file:
        note = _last_note(file, path)
        if note is None:
            return
        if note.tree_size > size:
            raise OtherDatabase(
                f"The witness saw {note.tree_size} sealed events, the database ends at {size}: it was set back. "
                "Nothing was sealed. After a restore from a backup, record it: `manage.py record_restore`."
            )
        if not SealedCheckpoint.objects.filter(tree_size=note.tree_size, note=note.text).exists():
            raise OtherDatabase(
                f"The database does not have the checkpoint at size {note.tree_size} that the witness saw: it was "
                "rewritten, or is another one. Nothing was sealed: see `manage.py audit_verify --witness FILE`."
            )


@dataclass
class Compared:
    """How much of the witness was compared: so many notes, up to the one of this tree size. The database has `lacking`
    checkpoints after it."""

    notes: int = 0
    size: int = 0
    lacking: int = 0

    def __str__(self) -> str:
        text = f"compared with {self.notes:,} notes of the witness, up to {self.size:,} sealed events"
        return f"{text}; {self.lacking:,} later checkpoints are not in it yet" if self.lacking else text


def compare(path: Path, public_key: Ed25519PublicKey, now: datetime, compared: Compared) -> Iterator[Divergence]:
    """Every note of the file that does not hold, or that the database does not have; every checkpoint that it lacks.

    Call it outside a snapshot: each note is read before it is looked for, so that it must be committed by then.
    """
    if not path.is_file():
        if SealedCheckpoint.objects.exists():
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
        # Whole notes, for they are what a verification proves: the columns beside them are not.
        rows = SealedCheckpoint.objects.filter(tree_size__gt=since, tree_size__lte=compared.size)
        stored = dict(rows.order_by("tree_size").values_list("tree_size", "note"))
        ends_at = SealedCheckpoint.objects.aggregate(size=Max("tree_size"))["size"] or 0
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
    path: Path, public_key: Ed25519PublicKey, now: datetime, compared: Compared, *, is_empty: bool
) -> Iterator[Divergence]:
    rows = SealedCheckpoint.objects.filter(tree_size__gt=compared.size).order_by("tree_size")
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
                "file was cut short, is an old copy, or the sealer does not reach it"
            )
            yield Divergence("witness", path.name, compared.notes, message)


def _notes_until_damage(path: Path) -> Iterator[str]:
    """The notes; at the end what no checkpoint can be, where something else than notes stands in the file."""
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
    """The tree size of the last note (0 where there is none), and what an interrupted append has left behind it."""
    window, last = _window(file, path)
    return (int(last["size"]) if last else 0), window[last.end() if last else 0 :].lstrip(b"\n")


def _window(file: IO[bytes], path: Path) -> tuple[bytes, re.Match[bytes] | None]:
    """The end of the file, and the last note in it. Raises WitnessDamaged."""
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
    """Whether this may be a note that was cut off while it was written, or nothing at all."""
    return text.count(b"\n") < _LINES_OF_A_NOTE and (text.startswith(_FIRST_LINE) or _FIRST_LINE.startswith(text))
