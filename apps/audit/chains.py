"""Recomputes the hash chain of every aggregate from event rows, one row at a time."""

import hashlib
from binascii import unhexlify
from collections.abc import Callable
from dataclasses import dataclass, field

from apps.audit.event_row import hashed_head

_sha256 = hashlib.sha256

PROGRESS_EVERY = 20_000


@dataclass(frozen=True)
class Divergence:
    """A place in an aggregate, or in the log, where the stored data is not what was written.

    `kind` is the name that the verifier prints, such as `changed` or `gap` (docs/operations.md).
    """

    kind: str
    aggregate: str
    sequence: int
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.aggregate} #{self.sequence}: {self.message}"


@dataclass
class ChainVerifier:
    """Verifies event rows, in the order of each aggregate, archived months before the live table.

    It is a file object for `cursor.copy_expert`, which calls `write` once a row.
    """

    progress: Callable[[int], None] = lambda _events: None
    limit: int = 20
    events: int = 0
    divergences: list[Divergence] = field(default_factory=list)
    heads: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    _aggregate: bytes = b""
    _sequence: int = 0
    _hash: bytes = b""
    _diverged: bool = False

    def write(self, line: bytes) -> int:
        head, payload, digest = line.rsplit(b"\t", 2)
        fields = head.split(b"\t", 6)
        aggregate = fields[3] + b"/" + fields[4]
        if aggregate != self._aggregate:
            self._begin_aggregate(aggregate)
        self._sequence += 1
        recomputed = _sha256(self._hash + hashed_head(head) + b"\t" + unhexlify(payload[3:])).digest()
        stored = unhexlify(digest[3:-1])
        if recomputed != stored or int(fields[5]) != self._sequence:
            self._report(int(fields[5]), recomputed == stored)
            self._sequence = int(fields[5])
        self._hash = stored
        self.events += 1
        if self.events % PROGRESS_EVERY == 0:
            self.progress(self.events)
        return len(line)

    def finish(self) -> dict[bytes, tuple[int, bytes]]:
        """The last number and hash of every aggregate, by `type/id`."""
        self._begin_aggregate(b"")
        return self.heads

    def _begin_aggregate(self, aggregate: bytes) -> None:
        if self._aggregate:
            self.heads[self._aggregate] = (self._sequence, self._hash)
        self._aggregate = aggregate
        self._sequence, self._hash = self.heads.get(aggregate, (0, b""))
        self._diverged = False

    def _report(self, sequence: int, hash_holds: bool) -> None:
        # Only the first divergence of an aggregate is reported: the rest of its chain follows from it.
        if not self._diverged and len(self.divergences) < self.limit:
            missing = sequence != self._sequence
            message = (
                f"expected #{self._sequence}: events are missing or out of order"
                if missing
                else "its content does not match its hash, or the event before it was changed"
            )
            self.divergences.append(
                Divergence("gap" if missing else "changed", self._aggregate.decode(), sequence, message)
            )
        self._diverged = True
