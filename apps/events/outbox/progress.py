"""Whether a relay or dispatcher makes progress: the oldest row of the outbox has to leave."""

from collections.abc import Callable, Collection

from django.db import connection

from apps.events.outbox.admission import Admission
from apps.events.outbox.low_watermark import LowWatermark
from apps.events.outbox.metrics import OutboxLook
from apps.events.outbox.rows import prepare_session
from apps.events.process.progress import Backlog, Progress, ProgressWatch, Standing

# The transport is written out, for the planner to see that a partial index has the answer.
_OLDEST = """
SELECT id, extract(epoch FROM clock_timestamp() - created_at)::bigint FROM outbox
 WHERE transport = '{transport}' AND next_attempt_at < 'infinity' AND id > %s AND slot = ANY(%s)
 ORDER BY id LIMIT 1
"""


class OutboxProgress:
    """Of one transport, in one process. What is parked does not count: the gate tells of it.

    A row that is sent leaves the outbox, and the next one is the oldest. A row that stays the oldest although others
    leave was passed over, or cannot be sent. `slots` are those held now; `cause` says what is known of the reason.
    """

    def __init__(
        self,
        name: str,
        transport: str,
        *,
        gate: Admission,
        floor: LowWatermark,
        look: OutboxLook,
        slots: Callable[[], Collection[int]],
        cause: Callable[[], str],
    ) -> None:
        self._query = _OLDEST.format(transport=transport)
        self._gate = gate
        self._floor = floor
        self._look = look
        self._slots = slots
        self._cause = cause
        self._watch = ProgressWatch(Progress(name, done="sent"), self._backlog)

    def standing(self, *, remark: str = "") -> Standing:
        """What the heartbeat says; `remark` is its detail while all is well. Raises DatabaseError."""
        standing = self._watch.standing()
        if self._gate.is_shut:
            return Standing("down", self._gate.detail)
        return standing if standing.is_stalled else Standing("up", remark or self._gate.detail)

    def restart(self) -> None:
        """Other slots are held now: what waits in them has the whole limit."""
        self._watch.restart()

    def _backlog(self) -> Backlog:
        slots = self._slots()
        prepare_session()
        with connection.cursor() as cursor:
            cursor.execute(self._query, [self._floor.value, list(slots)])
            row = cursor.fetchone()
        if row is None:
            return Backlog()
        row_id, age_seconds = row
        reason = f"The oldest has waited {age_seconds} s. {self._cause()}"
        # Counted less often than looked at: there may be none by the count, and one by now.
        return Backlog(max(self._look.waiting(slots), 1), row_id, reason)
