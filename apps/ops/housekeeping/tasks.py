"""Every task of the housekeeping: what it is called, how often it runs, and what does it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from apps.accounts.services.closure import closure_sweep
from apps.accounts.services.housekeeping import EXPIRED, accounts_purge
from apps.accounts.services.log_in_reports import PUBLISHED_EVERY, reports_publish
from apps.core.api.idempotency import idempotency_purge
from apps.core.identity.machine_keys import machine_key_uses_purge
from apps.core.identity.revocations import revocations_purge
from apps.core.samples import samples_purge
from apps.events.consumers.housekeeping import delete_expired
from apps.events.process.heartbeats import forget_silent
from apps.ops.housekeeping.partitions import partitions_ensure
from apps.ops.housekeeping.task import Lane, Task
from apps.ops.housekeeping.topics import topics_check

_SECOND, _HOUR = timedelta(seconds=1), timedelta(hours=1)


def _hourly(name: str, run: Callable[..., int]) -> Task:
    def run_at(now: datetime) -> int:
        return run(now=now)

    return Task(name, Lane.TABLES, _HOUR, run_at)


TASKS: tuple[Task, ...] = (
    Task("closures", Lane.CALLS, _SECOND, lambda now: int(closure_sweep(now=now))),
    Task("topics", Lane.CALLS, _HOUR, lambda _: topics_check()),
    Task("log_in_reports", Lane.TABLES, PUBLISHED_EVERY, lambda now: reports_publish(now=now)),
    Task("event_partitions", Lane.TABLES, _HOUR, partitions_ensure),
    *(_hourly(table, partial(accounts_purge, table)) for table in EXPIRED),
    _hourly("revoked_session", revocations_purge),
    _hourly("idempotency_record", idempotency_purge),
    _hourly("machine_key_use", machine_key_uses_purge),
    _hourly("inbox_and_dead_letters", delete_expired),
    _hourly("process_heartbeat", forget_silent),
    _hourly("figure_sample", samples_purge),
)
