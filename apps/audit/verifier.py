"""The verifier process: verifies the event store periodically, and reports to health, metrics and log."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.db import Error, connections
from django.utils import timezone

from apps.audit.verification import Verdict
from apps.core.errors import PlatformError
from apps.core.metrics import counter, gauge
from apps.events.process.heartbeats import State, beat

logger = structlog.get_logger(__name__)

NAME = "verifier"
BEAT_SECONDS = 2.0

# After a failed verification or a divergence the next one comes sooner, so that a transient cause clears quickly.
_RETRY_SECONDS = 60.0

_HERE = ("verifier",)

verifications = counter(
    "audit_verifications_total", "Verifications of the event store by outcome.", ["outcome"], processes=_HERE
)
last_success = gauge(
    "audit_last_success_timestamp_seconds", "When the event store was last found whole, in Unix time; 0 before that.",
    processes=_HERE,
)  # fmt: skip
divergences = gauge(
    "audit_divergences", "What the last verification found: 0 where the event store is whole.", processes=_HERE
)
duration = gauge("audit_verification_duration_seconds", "How long the last verification took.", processes=_HERE)
events = gauge("audit_events", "Events that the last verification read.", processes=_HERE)
leaves = gauge("audit_sealed_events", "Leaves of the Merkle tree: events under a signed checkpoint.", processes=_HERE)
pending = gauge("audit_unsealed_events", "Events that are not in the Merkle tree yet.", processes=_HERE)
witness_notes = gauge("audit_witness_notes", "Notes of the witness that were compared.", processes=_HERE)
witness_size = gauge("audit_witness_size", "Up to how many sealed events the witness goes.", processes=_HERE)
witness_lacking = gauge(
    "audit_witness_lacking_checkpoints", "Checkpoints after the last note of the witness.", processes=_HERE
)


@dataclass
class _Run:
    """One verification in its own thread with its own connection, so that the process keeps sending heartbeats."""

    verify: Callable[[], Verdict]
    verdict: Verdict | None = None
    error: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._work, name="verification", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        began = time.monotonic()
        try:
            self.verdict = self.verify()
        except (PlatformError, OSError, Error) as error:
            self.error = str(error).strip() or type(error).__name__
        except Exception as error:
            logger.exception("verification_failed")
            self.error = f"{type(error).__name__}: see the log"
        finally:
            self.seconds = time.monotonic() - began
            connections.close_all()


class Verifier:
    """Calls `verify` every so many seconds, from the end of one verification to the start of the next.

    `clock` gives seconds that never jump.
    """

    def __init__(
        self, verify: Callable[[], Verdict], *, every: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._verify = verify
        self._every = every
        self._due_at = clock()
        self._run: _Run | None = None
        self._state: State = "up"
        self._detail = "The first verification is in progress."

    def step(self) -> float:
        if self._run is None and self._clock() >= self._due_at:
            self._run = _Run(self._verify)
        if self._run is not None and not self._run.thread.is_alive():
            self._conclude(self._run)
            self._run = None
        beat(NAME, self._state, self._detail)
        return BEAT_SECONDS

    def close(self) -> None:
        """A running verification ends with the process."""

    def _conclude(self, run: _Run) -> None:
        duration.set(run.seconds)
        if run.verdict is None:
            verifications.labels("failed").inc()
            self._state, self._detail = "down", f"The event store could not be verified: {run.error}"
            logger.error("event_store_not_verified", reason=run.error)
        else:
            self._report(run.verdict)
        seconds = self._every if self._state == "up" else min(self._every, _RETRY_SECONDS)
        self._due_at = self._clock() + seconds

    def _report(self, verdict: Verdict) -> None:
        _set_metrics(verdict)
        if verdict.is_whole:
            verifications.labels("whole").inc()
            last_success.set_to_current_time()
            self._state = "up"
            self._detail = f"Whole at {timezone.now():%Y-%m-%d %H:%M:%S} UTC: {verdict.summary}"
            logger.info("event_store_whole", events=verdict.events, leaves=verdict.leaves, pending=verdict.pending)
            return
        first = str(verdict.divergences[0])
        verifications.labels("diverged").inc()
        self._state = "down"
        self._detail = f"The event store is NOT whole. Run audit_verify. First divergence: {first}"
        logger.critical("event_store_not_whole", first=first, divergences=len(verdict.divergences))


def _set_metrics(verdict: Verdict) -> None:
    divergences.set(len(verdict.divergences))
    events.set(verdict.events)
    leaves.set(verdict.leaves)
    pending.set(verdict.pending)
    if verdict.witness is not None:
        witness_notes.set(verdict.witness.notes)
        witness_size.set(verdict.witness.size)
        witness_lacking.set(verdict.witness.lacking)
