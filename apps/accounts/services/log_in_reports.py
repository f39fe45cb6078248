"""Failed log-ins and locks as events: written down by the request, published by the housekeeping process once a minute.

A request writes the same row whether or not the e-mail address has an account, so neither its answer nor its duration
tells. What is published is bounded however many attempts there are: for each account a few events a minute, and one for
all addresses without an account. The rows of an attempt are deleted in the transaction that publishes it.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.accounts.models import Door, LockoutCounter, LogInReport, User
from apps.core.context import current_context, message_context
from apps.core.identity.actor import request_origin
from apps.core.identity.client_info import ClientInfo
from apps.core.identity.networks import network_of
from apps.core.ids import new_id
from apps.events.store.publish import publish
from apps.messages.security import NetworkLockedOut, UnknownLogInsFailed, UserLockedOut, UserLogInFailed

Reason = LogInReport.Reason

PUBLISHED_EVERY = timedelta(minutes=1)
# Of failures at one account, and of locks of networks, in one publication. What is beyond is summed up in the last one.
MOST_EVENTS = 5
_BATCH = 10_000

_SCOPES = {
    LockoutCounter.Kind.PAIR: "account_and_network",
    LockoutCounter.Kind.ACCOUNT: "account",
    LockoutCounter.Kind.DEVICE: "device",
}


def failure_report(*, email: str, reason: Reason, door: Door, client: ClientInfo, now: datetime) -> None:
    """Notes a failed log-in. `email` is normalised; it may have no account."""
    _write(email=email, reason=reason, door=door, client=client, now=now)


def lock_report(
    *, email: str, kind: LockoutCounter.Kind, until: datetime, door: Door, client: ClientInfo, now: datetime
) -> None:
    """Notes that a lock refused its first attempt, one at this address. In the caller's transaction."""
    _write(email=email, lock=kind, locked_until=until, door=door, client=client, now=now)


@transaction.atomic
def reports_publish(*, now: datetime) -> int:
    """Publishes what was noted since the last time. Returns how many rows it took where there are more, otherwise 0.

    Not the number of rows in any case: the housekeeping would call it again at once, and a steady attack would then be
    as many events as attempts.
    """
    rows = list(LogInReport.objects.select_for_update(skip_locked=True).order_by("id")[:_BATCH])
    if not rows:
        return 0
    emails = {row.email for row in rows}
    accounts = dict(User.objects.filter(email__in=emails).values_list("email", "id"))
    at_accounts: defaultdict[UUID, list[LogInReport]] = defaultdict(list)
    unknown: list[LogInReport] = []
    networks = [row for row in rows if row.lock == LockoutCounter.Kind.ADDRESS]
    for row in rows:
        if row.lock == LockoutCounter.Kind.ADDRESS:
            continue
        user_id = accounts.get(row.email)
        if user_id is None:
            unknown.append(row)
        else:
            at_accounts[user_id].append(row)
    for user_id in sorted(at_accounts):
        _publish_at_account(user_id, at_accounts[user_id], now)
    for row in networks[:MOST_EVENTS]:
        assert row.locked_until is not None
        _publish_as(row, NetworkLockedOut(lockout_id=new_id(), door=row.door, until=row.locked_until), now)
    _publish_unknown(unknown, networks[MOST_EVENTS:], now)
    LogInReport.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows) if len(rows) == _BATCH else 0


def _write(*, client: ClientInfo, now: datetime, **fields: Any) -> None:
    LogInReport.objects.create(
        address=client.address,
        user_agent=client.user_agent,
        correlation_id=current_context().correlation_id,
        at=now,
        **fields,
    )


def _publish_at_account(user_id: UUID, rows: Sequence[LogInReport], now: datetime) -> None:
    for row in rows:
        if row.lock:
            assert row.locked_until is not None
            scope = _SCOPES[LockoutCounter.Kind(row.lock)]
            _publish_as(row, UserLockedOut(user_id=user_id, door=row.door, scope=scope, until=row.locked_until), now)
    alike: defaultdict[tuple[object, ...], list[LogInReport]] = defaultdict(list)
    for row in (row for row in rows if not row.lock):
        alike[row.door, row.reason, row.address, row.user_agent].append(row)
    groups = list(alike.values())
    if len(groups) > MOST_EVENTS:
        groups, rest = groups[: MOST_EVENTS - 1], groups[MOST_EVENTS - 1 :]
        # From several clients: it names none.
        publish(_failed(user_id, [row for group in rest for row in group], reason="several"), now=now)
    for group in groups:
        _publish_as(group[0], _failed(user_id, group, reason=group[0].reason), now)


def _failed(user_id: UUID, rows: Sequence[LogInReport], *, reason: str) -> UserLogInFailed:
    ((door, _),) = Counter(row.door for row in rows).most_common(1)
    return UserLogInFailed(
        user_id=user_id,
        door=door,
        reason=reason,
        attempts=len(rows),
        first_at=min(row.at for row in rows),
        last_at=max(row.at for row in rows),
    )


def _publish_unknown(rows: Sequence[LogInReport], network_locks: Sequence[LogInReport], now: datetime) -> None:
    if not rows and not network_locks:
        return
    failures = [row for row in rows if not row.lock]
    times = [row.at for row in (*rows, *network_locks)]
    event = UnknownLogInsFailed(
        report_id=new_id(),
        attempts=len(failures),
        addresses=len({row.email for row in rows}),
        networks=len({network_of(row.address) for row in rows if row.address}),
        locks=len(rows) - len(failures),
        network_locks=len(network_locks),
        first_at=min(times),
        last_at=max(times),
    )
    publish(event, now=now)


def _publish_as(row: LogInReport, event: UserLogInFailed | UserLockedOut | NetworkLockedOut, now: datetime) -> None:
    """Publishes as the request would have: from its client, nobody logged in, and with its correlation id."""
    client = ClientInfo(row.address, row.user_agent)
    with message_context(correlation_id=row.correlation_id), request_origin(lambda: client):
        publish(event, now=now)
