"""The checkpointer process: signs Merkle checkpoints over settled events, and keeps the witness file up to date."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils import timezone

from apps.audit import witness
from apps.audit.backlog import checkpointer_backlog
from apps.audit.checkpoint_signer import BATCH, CheckpointSigner, NewCheckpoint
from apps.audit.selectors import tree_size
from apps.core.errors import PlatformError
from apps.events.process.heartbeats import beat
from apps.events.process.progress import Health, Progress, ProgressWatch

logger = structlog.get_logger(__name__)

NAME = "checkpointer"
IDLE_SECONDS = 5.0


class Checkpointer:
    """Signs at most one checkpoint a step. `refusal` is the reason why the last step signed none although events are
    pending, or empty.

    `file` is the witness, a file outside the database that gets every signed note too, or None.
    """

    def __init__(
        self, key: Ed25519PrivateKey, file: Path | None, *, clock: Callable[[], datetime] = timezone.now
    ) -> None:
        self._clock = clock
        self._signer = CheckpointSigner(key, file)
        self._file = file
        self._watch = ProgressWatch(
            Progress(NAME, what="event", done="sealed"), checkpointer_backlog, every_seconds=IDLE_SECONDS
        )
        self.refusal = ""
        self.last: NewCheckpoint | None = None

    def step(self) -> float:
        """Returns the seconds to wait before the next step; 0 if more events are settled. Raises DatabaseError."""
        self.last, refusal = None, ""
        try:
            self.last = self._signer.advance(self._clock())
        except PlatformError as error:
            refusal = error.message
        self._note(refusal)
        beat(NAME, *_health(self._watch.health(), refusal or _problem_of_witness(self._file)))
        return 0.0 if self.last and self.last.events == BATCH else IDLE_SECONDS

    def close(self) -> None:
        """There is nothing to close: a step leaves no resource open."""

    def _note(self, refusal: str) -> None:
        """Logs once that signing is refused, and once that it works again."""
        if refusal and not self.refusal:
            logger.critical("checkpoint_refused", reason=refusal)
        elif self.refusal and not refusal:
            logger.info("checkpoints_resumed", after=self.refusal)
        self.refusal = refusal


def _health(health: Health, problem: str) -> Health:
    if problem:
        return Health("down", problem)
    return health if health.is_stalled else Health("up", f"{tree_size()} events sealed")


def _problem_of_witness(file: Path | None) -> str:
    """Why the witness lacks notes, for the heartbeat; empty if it has all. Checkpoints do not wait for it."""
    if file is None:
        return ""
    try:
        added = witness.catch_up(file)
    except (PlatformError, OSError) as error:
        logger.error("witness_lacks_notes", reason=str(error))
        return f"The witness lacks notes: {error}"
    if added > 1:
        logger.warning("witness_caught_up", notes=added)
    return ""
