"""The witness: a file outside the database that holds every signed note, one after another with an empty line between.

It is only ever added to. Half a note that an interrupted append has left at its end is completed by the next one, or
passed over where it can never be completed.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from apps.audit.chains import Divergence
from apps.audit.checkpoints import ORIGIN, InvalidCheckpoint, open_note
from apps.audit.files import bring_to_disk
from apps.audit.models import SealedCheckpoint
from apps.audit.services import sealed_size
from apps.core.errors import PlatformError

_FIRST_LINE = f"{ORIGIN}\n".encode()
_NOTE = re.compile(
    rf"{re.escape(ORIGIN)}\n(?P<size>\d+)\n[A-Za-z0-9+/]+=*\n\n— {re.escape(ORIGIN)} [A-Za-z0-9+/]+=*\n".encode()
)
_LINES_OF_A_NOTE = 5
# Many times the length of a note.
_WINDOW = 4096
_CHUNK = 1 << 20
_NOTES_AT_ONCE = 1_000


class WitnessDamaged(PlatformError):
    """The file holds something that is no signed note, nor the beginning of one."""

    code = "witness_damaged"
    http_status = 422


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
    with path.open("a+b") as file:
        # A second sealer, on standby, may have the same file.
        fcntl.flock(file, fcntl.LOCK_EX)
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


def compare(path: Path, public_key: Ed25519PublicKey) -> Iterator[Divergence]:
    """Every note of the file that does not hold, or that the database does not have.

    Call it outside a snapshot: each note is read before it is looked for, so that it must be committed by then.
    """
    if not path.is_file():
        yield Divergence("witness", path.name, 0, "there is no such file")
        return
    numbered = enumerate(_notes_until_damage(path), 1)
    set_back: Divergence | None = None
    while batch := list(islice(numbered, _NOTES_AT_ONCE)):
        seen: dict[int, tuple[int, str]] = {}
        for number, note in batch:
            try:
                seen[number] = (open_note(note, public_key).tree_size, note)
            except InvalidCheckpoint as error:
                yield Divergence("witness", path.name, number, error.message)
        # Whole notes, for they are what a verification proves: the columns beside them are not.
        rows = SealedCheckpoint.objects.filter(tree_size__in=[size for size, _ in seen.values()])
        stored = dict(rows.values_list("tree_size", "note"))
        ends_at = sealed_size()
        for number, (size, note) in seen.items():
            if size > ends_at:
                message = f"the witness saw {size} sealed events, the database ends at {ends_at}: it was set back"
                set_back = Divergence("witness", path.name, number, message)
            elif stored.get(size) != note:
                message = f"the database does not have the checkpoint at size {size} that the witness saw"
                yield Divergence("witness", path.name, number, message)
    if set_back is not None:
        yield set_back


def _notes_until_damage(path: Path) -> Iterator[str]:
    """The notes; at the end what no checkpoint can be, where something else than notes stands in the file."""
    try:
        yield from notes(path)
    except WitnessDamaged:
        yield ""


def _end_of(file: IO[bytes], path: Path) -> tuple[int, bytes]:
    """The tree size of the last note (0 where there is none), and what an interrupted append has left behind it."""
    start = max(0, file.seek(0, 2) - _WINDOW)
    file.seek(start)
    window = file.read()
    tree_size, end = 0, 0
    for note in _NOTE.finditer(window):
        tree_size, end = int(note["size"]), note.end()
    rest = window[end:].lstrip(b"\n")
    if not _is_beginning(rest) or (start and not end):
        raise WitnessDamaged(
            f"{path} does not end with a signed note. Nothing was written to it: name another file, or move this one "
            "away and keep it; a new one gets all notes from the beginning."
        )
    return tree_size, rest


def _refuse_what_is_no_note(between: bytes, path: Path) -> None:
    if not _is_beginning(between.lstrip(b"\n")):
        raise WitnessDamaged(f"{path} holds something that is not a signed note, nor the beginning of one.")


def _is_beginning(text: bytes) -> bool:
    """Whether this may be a note that was cut off while it was written, or nothing at all."""
    return text.count(b"\n") < _LINES_OF_A_NOTE and (text.startswith(_FIRST_LINE) or _FIRST_LINE.startswith(text))
