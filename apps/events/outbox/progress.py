"""Progress of a relay or dispatcher: the oldest row of the outbox must leave it."""

from collections.abc import Callable, Collection

from django.db import connection

from apps.events.outbox.admission import Admission
from apps.events.outbox.low_watermark import LowWatermark
from apps.events.outbox.metrics import OutboxStats
from apps.events.outbox.rows import prepare_session
from apps.events.process.progress import Backlog, Health, Progress, ProgressWatch

# The transport is a literal, so that the planner can use the partial index.
_OLDEST = """
SELECT id, extract(epoch FROM clock_timestamp() - created_at)::bigint FROM outbox
 WHERE transport = '{transport}' AND next_attempt_at < 'infinity' AND id > %s AND slot = ANY(%s)
 ORDER BY id LIMIT 1
"""


class OutboxProgress:
    """Progress of one transport, in one process. Parked rows do not count: `Admission.detail` reports them.

    A row that is sent leaves the outbox, and the next one becomes the oldest. A row that stays the oldest while others
    leave was skipped or cannot be sent. `slots` are the held slots; `cause` is a sentence with the known cause.
    """

    def __init__(
        self,
        name: str,
        transport: str,
        *,
        admission: Admission,
        low_watermark: LowWatermark,
        stats: OutboxStats,
        slots: Callable[[], Collection[int]],
        cause: Callable[[], str],
    ) -> None:
        self._query = _OLDEST.format(transport=transport)
        self._admission = admission
        self._low_watermark = low_watermark
        self._stats = stats
        self._slots = slots
        self._cause = cause
        self._watch = ProgressWatch(Progress(name, done="sent"), self._backlog)

    def health(self, *, remark: str = "") -> Health:
        """State and detail of the heartbeat; `remark` is the detail while the state is up. Raises DatabaseError."""
        health = self._watch.health()
        if self._admission.is_stopped:
            return Health("down", self._admission.detail)
        return health if health.is_stalled else Health("up", remark or self._admission.detail)

    def restart(self) -> None:
        """Starts the limit again, because other slots are held now."""
        self._watch.restart()

    def _backlog(self) -> Backlog:
        slots = self._slots()
        prepare_session()
        with connection.cursor() as cursor:
            cursor.execute(self._query, [self._low_watermark.value, list(slots)])
            row = cursor.fetchone()
        if row is None:
            return Backlog()
        row_id, age_seconds = row
        reason = f"The oldest has waited {age_seconds} s. {self._cause()}"
        # The count is up to 10 s old and may be 0, but at least this row waits.
        return Backlog(max(self._stats.waiting(slots), 1), row_id, reason)
