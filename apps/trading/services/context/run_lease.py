"""Lease with a fencing token: one worker at a time for a run. A holder whose lease has expired can write nothing."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from apps.core.due import CLOCKS_DIFFER, is_due
from apps.events.commands.worker.identity import has_died, this_worker
from apps.trading.errors import BotBusy, LeaseLost
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.patience import Patience

# Longer than any one call to the exchange. Holders renew it before each call.
LEASE = timedelta(seconds=30)
GRACE = timedelta(seconds=2)
WAIT_SECONDS = 0.1


# A lease that has expired, or ends later than any that was taken by this clock, is free.
_TAKE = """
UPDATE trading_bot_run SET fence = fence + 1, lease_owner = %(owner)s, lease_until = %(until)s
 WHERE id = %(run_id)s
   AND (lease_until IS NULL OR lease_until <= %(now)s OR lease_until > %(too_far)s OR fence = %(fence_of_dead)s)
RETURNING *
"""


@dataclass(slots=True)
class RunLease:
    """The right to work on a run until the lease expires. `run` is the run as it was when the lease was taken."""

    run_id: UUID
    fence: int
    run: BotRun = field(compare=False, repr=False)
    is_released: bool = field(default=False, compare=False)

    def renew(self, *, now: datetime) -> None:
        """Raises LeaseLost."""
        held = BotRun.objects.filter(id=self.run_id, fence=self.fence, lease_until__isnull=False)
        if not held.update(lease_until=now + LEASE):
            raise self.lost()

    def lost(self) -> LeaseLost:
        return LeaseLost("Another worker took over this run.", run_id=str(self.run_id))

    def release(self) -> None:
        if self.is_released:
            return
        BotRun.objects.filter(id=self.run_id, fence=self.fence).update(lease_owner="", lease_until=None)


def lease_take(*, run_id: UUID, now: datetime) -> RunLease | None:
    """The lease, or None while another worker holds it. The lease of a worker that is known to have died is free."""
    if (lease := _take(run_id, now)) is not None:
        return lease
    seen = BotRun.objects.filter(id=run_id).values("lease_owner", "lease_until", "fence").first()
    if seen is None:
        return None
    is_free = seen["lease_until"] is None or is_due(seen["lease_until"], now=now, at_most=LEASE)
    if not is_free and not has_died(seen["lease_owner"].rpartition("#")[0]):
        return None
    return _take(run_id, now, fence_of_dead=seen["fence"])


def _take(run_id: UUID, now: datetime, *, fence_of_dead: int | None = None) -> RunLease | None:
    """One statement takes the lease and reads the run. `fence_of_dead`: the fence of a holder that has died."""
    values = {
        "run_id": run_id,
        "owner": f"{this_worker()}#{secrets.token_hex(4)}",
        "until": now + LEASE,
        "now": now,
        "too_far": now + LEASE + CLOCKS_DIFFER,
        "fence_of_dead": fence_of_dead,
    }
    for run in BotRun.objects.raw(_TAKE, values):
        return RunLease(run_id, run.fence, run)
    return None


@contextmanager
def run_lease(*, run_id: UUID, now: datetime) -> Iterator[RunLease | None]:
    """The lease for the block, or None. It is released at the end, also when the block raises."""
    lease = lease_take(run_id=run_id, now=now)
    try:
        yield lease
    finally:
        if lease is not None:
            lease.release()


@contextmanager
def run_lease_wait(*, run_id: UUID, context: ExecutionContext) -> Iterator[RunLease]:
    """Like `run_lease`, but waits until another holder releases the lease or it expires. Raises BotBusy."""
    patience = Patience(context.clock, LEASE + GRACE)
    while (lease := lease_take(run_id=run_id, now=context.clock())) is None:
        if patience.is_over():
            raise BotBusy("Another worker is at this bot.", run_id=str(run_id))
        context.sleep(WAIT_SECONDS)
    try:
        yield lease
    finally:
        lease.release()


def run_get_for_update(lease: RunLease) -> BotRun:
    """The run, locked for update, where `lease` still holds it. Raises LeaseLost."""
    run = BotRun.objects.select_for_update().get(id=lease.run_id)
    if run.fence != lease.fence:
        raise lease.lost()
    return run
