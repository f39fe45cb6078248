"""Recomputes the hash chain of every aggregate, one COPY line at a time, without parsing what it need not know."""

import hashlib
from binascii import unhexlify
from collections.abc import Callable
from dataclasses import dataclass, field

_sha256 = hashlib.sha256

PROGRESS_EVERY = 20_000


@dataclass(frozen=True)
class Divergence:
    """The first place of an aggregate, or of the log, where what is stored is not what was written."""

    kind: str
    aggregate: str
    sequence: int
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.aggregate} #{self.sequence}: {self.message}"


@dataclass
class ChainVerifier:
    """Takes lines of `records.COLUMNS`, each aggregate's in order, archives before the live table.

    `write` fits `cursor.copy_expert`, which calls it once a row.
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
            self._turn_to(aggregate)
        self._sequence += 1
        recomputed = _sha256(self._hash + head + b"\t" + unhexlify(payload[3:])).digest()
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
        self._turn_to(b"")
        return self.heads

    def _turn_to(self, aggregate: bytes) -> None:
        if self._aggregate:
            self.heads[self._aggregate] = (self._sequence, self._hash)
        self._aggregate = aggregate
        self._sequence, self._hash = self.heads.get(aggregate, (0, b""))
        self._diverged = False

    def _report(self, sequence: int, hash_holds: bool) -> None:
        # After the first divergence of an aggregate the rest of its chain says nothing new.
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
