"""Lease with a fencing token: one worker at a time for a run. A holder whose lease has expired can write nothing."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F

from apps.core.due import is_due
from apps.events.commands.worker.identity import has_died, this_worker
from apps.trading.errors import BotBusy, LeaseLost
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.patience import Patience

# Longer than any one call to the exchange. Holders renew it before each call.
LEASE = timedelta(seconds=30)
GRACE = timedelta(seconds=2)
WAIT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class RunLease:
    """The right to work on a run until the lease expires."""

    run_id: UUID
    fence: int

    def renew(self, *, now: datetime) -> None:
        """Raises LeaseLost."""
        held = BotRun.objects.filter(id=self.run_id, fence=self.fence, lease_until__isnull=False)
        if not held.update(lease_until=now + LEASE):
            raise LeaseLost("Another worker took over this run.", run_id=str(self.run_id))

    def release(self) -> None:
        BotRun.objects.filter(id=self.run_id, fence=self.fence).update(lease_owner="", lease_until=None)


def lease_take(*, run_id: UUID, now: datetime) -> RunLease | None:
    """The lease, or None while another worker holds it. The lease of a worker that is known to have died is free."""
    seen = BotRun.objects.filter(id=run_id).values("lease_owner", "lease_until", "fence").first()
    if seen is None:
        return None
    is_free = seen["lease_until"] is None or is_due(seen["lease_until"], now=now, at_most=LEASE)
    if not is_free and not has_died(seen["lease_owner"].rpartition("#")[0]):
        return None
    owner = f"{this_worker()}#{secrets.token_hex(4)}"
    taken = BotRun.objects.filter(id=run_id, fence=seen["fence"], lease_until=seen["lease_until"])
    if not taken.update(fence=F("fence") + 1, lease_owner=owner, lease_until=now + LEASE):
        return None
    return RunLease(run_id, seen["fence"] + 1)


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
        raise LeaseLost("Another worker took over this run.", run_id=str(lease.run_id))
    return run
