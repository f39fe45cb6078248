"""Comparison of an exchange account's balances with the platform's ledger, key by key.

At the start of a run, after its end and periodically the exchange's balances are compared with what is booked. A
difference is looked into: fills of our orders that became visible late are booked, movements that no order of ours made
(deposits, withdrawals, foreign trades) are recorded as changes of what is unallocated. What is left is looked at again
after a while; a difference that stays stops the entries of the key's bots and is told, once, with both figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import structlog
from django.db import transaction

from apps.core.context import message_context
from apps.core.errors import PlatformError
from apps.core.money import plain
from apps.core.terms import Mode
from apps.events.store.publish import publish
from apps.exchange.types import ZERO, Balance
from apps.messages.accounts import AccountDrift, AccountDriftResolved
from apps.risk.comparison import Difference, difference_of, tolerance
from apps.risk.models.accounts import Account, AccountAsset, Allocation
from apps.risk.models.halts import HaltLevel, HaltScope, HaltSource
from apps.risk.selectors import allocated
from apps.risk.services.accounts import account_changes, account_open
from apps.risk.services.halts import halt_lift, halt_set
from apps.trading.models.ledger import Position
from apps.trading.models.order_states import RESTING_STATES
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import LIVE_RUNS, BotRun
from apps.trading.selectors import COMPARE_AT_MOST_AFTER, latest_run_of_key
from apps.trading.services.context.dependencies import Dependencies, ExecutionContext
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.orders.account_differences import differences_explain
from apps.trading.services.orders.account_doubts import doubts_of, in_flight
from apps.trading.services.orders.allocations import account_hold, share_ensure
from apps.trading.services.orders.placement import orders_sync

log = structlog.get_logger(__name__)

# Between comparisons of an account whose bots run, and of one whose bots rest.
COMPARE_EVERY, COMPARE_AT_REST = timedelta(seconds=60), COMPARE_AT_MOST_AFTER
# Orders are in flight or were booked meanwhile: the balance that was read says nothing.
AGAIN_WHEN_DISTURBED = timedelta(seconds=5)
# A difference is told when it is seen again after this long: exchanges show fills up to a minute late (docs/orders.md).
GRACE = timedelta(seconds=60)
AGAIN_AFTER_FAILURE, AGAIN_AFTER_REFUSAL = timedelta(seconds=30), timedelta(minutes=5)

CODE = "account_drift"
WHO = "reconciler"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison that nothing disturbed. Without differences the exchange shows what it must.

    `in_doubt` are assets of orders that wait for a person: of those only what is missing beyond the doubt is a
    difference, and nothing of them is taken over.
    """

    differences: tuple[Difference, ...]
    in_doubt: frozenset[str] = frozenset()


def account_compare(credential_id: UUID, *, context: ExecutionContext = LIVE_CONTEXT) -> Comparison | None:
    """Compares the account once. None where orders in flight or bookings in between disturbed it, or it failed.

    Sets when the account is compared next. No expected failure is raised.
    """
    run = latest_run_of_key(credential_id)
    if run is None:
        return None
    with message_context(correlation_id=run.correlation_id, causation_id=run.started_event_id):
        try:
            return _compare(run, context.deps(run))
        except PlatformError as error:
            log.warning("comparison_delayed", credential_id=str(credential_id), code=error.code, reason=error.message)
            pause = AGAIN_AFTER_FAILURE if error.retryable else AGAIN_AFTER_REFUSAL
            _compare_at(run, context.clock() + pause)
            return None


def _compare(run: BotRun, deps: Dependencies) -> Comparison | None:
    found = _look(run, deps)
    if found is not None and found.differences and differences_explain(run, found.differences, deps):
        found = _look(run, deps)
    if found is None:
        _compare_at(run, deps.clock() + AGAIN_WHEN_DISTURBED)
        return None
    if found.differences:
        _tell(run, _suspect(run, found.differences, now=deps.clock()), now=deps.clock())
    elif not found.in_doubt:
        _lift(run, now=deps.clock())
        # What sales found missing is there again.
        Position.objects.filter(credential_id=run.credential_id, base_missing__gt=0).update(base_missing=ZERO)
    return found


def _look(run: BotRun, deps: Dependencies) -> Comparison | None:
    """Reads the balances and compares them. None where something moved meanwhile."""
    if in_flight(run.credential_id).exists():
        return None
    seen = account_changes(run.credential_id)
    balances = deps.exchange.balances()
    # What was executed before the balances were read is booked now, which counts as a change of the account.
    resting = OrderIntent.objects.filter(credential_id=run.credential_id, state__in=RESTING_STATES)
    orders_sync(list(resting.select_related("run")), deps=deps)
    return _take(run, balances, seen, now=deps.clock())


@transaction.atomic
def _take(run: BotRun, balances: Mapping[str, Balance], seen: int, *, now: datetime) -> Comparison | None:
    """Compares each asset that bots have or use, and takes over the balances that are what they must be."""
    account = account_hold(run)
    if account.changes != seen or in_flight(run.credential_id).exists():
        return None
    doubts = doubts_of(run.credential_id)
    if account.compared_at is None:
        if doubts:
            return None
        for position in Position.objects.filter(credential_id=run.credential_id):
            share_ensure(account, position)
        account_open(account, balances, now=now)
    used = _assets_in_use(account)
    rows = {row.asset: row for row in account.assets.select_for_update()}
    differences = []
    for asset in sorted(used | balances.keys() | rows.keys()):
        row = rows.get(asset) or AccountAsset(account=account, asset=asset)
        total = balances[asset].total if asset in balances else ZERO
        difference = None
        if asset in used:
            difference = difference_of(
                asset,
                total=total,
                booked=row.booked,
                postings=row.postings,
                allocated=allocated(account.credential_id, asset),
                taken=doubts.get(asset),
            )
        if difference is not None:
            differences.append(difference)
        elif asset not in doubts:
            _take_over(run, row, total, is_used=asset in used, now=now)
    account.compare_at = now + (COMPARE_EVERY if _is_at_work(run.credential_id) else COMPARE_AT_REST)
    if not differences and not doubts:
        account.compared_at = now
    account.save(update_fields=["compare_at", "compared_at"])
    return Comparison(tuple(differences), frozenset(doubts))


def _take_over(run: BotRun, row: AccountAsset, total: Decimal, *, is_used: bool, now: datetime) -> None:
    if is_used:
        row.dust += total - row.booked
    was_drifting = row.drift_since is not None
    row.booked, row.postings = total, 0
    row.suspected = row.suspected_at = row.drift_since = row.drift_expected = row.drift_found = None
    row.save()
    if was_drifting:
        publish(
            AccountDriftResolved(
                credential_id=run.credential_id,
                user_id=run.user_id,
                mode=Mode(run.mode),
                asset=row.asset,
                balance=total,
                resolved_at=now,
            ),
            now=now,
        )
        log.info("account_drift_resolved", credential_id=str(run.credential_id), asset=row.asset)


def _assets_in_use(account: Account) -> set[str]:
    pairs = Allocation.objects.filter(account=account).values_list("base_asset", "quote_asset")
    return {asset for pair in pairs for asset in pair}


def _is_at_work(credential_id: UUID) -> bool:
    return BotRun.objects.filter(credential_id=credential_id, state__in=LIVE_RUNS).exists()


@transaction.atomic
def _suspect(run: BotRun, differences: Sequence[Difference], *, now: datetime) -> list[Difference]:
    """Notes differences that are seen for the first time; returns those that have stayed the same for GRACE."""
    account = account_hold(run)
    confirmed = []
    for difference in differences:
        row, _ = AccountAsset.objects.get_or_create(account=account, asset=difference.asset)
        allowed = tolerance(difference.found, postings=row.postings)
        if row.suspected is None or abs(row.suspected - difference.amount) > allowed:
            row.suspected, row.suspected_at = difference.amount, now
            row.save(update_fields=["suspected", "suspected_at"])
            log.warning("account_difference_suspected", **_said(run, difference))
        assert row.suspected_at is not None
        if now - row.suspected_at >= GRACE:
            confirmed.append(difference)
        else:
            account.compare_at = min(account.compare_at or now + GRACE, row.suspected_at + GRACE)
    account.save(update_fields=["compare_at"])
    return confirmed


def _tell(run: BotRun, differences: Sequence[Difference], *, now: datetime) -> None:
    """Stops the entries of the key's bots, and publishes each difference once."""
    new = [each for each in differences if not _is_told(run, each)]
    if not new:
        return
    # First, in a transaction of its own: it waits for orders that are being marked (apps/risk/services/locks.py).
    halt_set(
        scope=HaltScope.KEY,
        subject_id=run.credential_id,
        user_id=run.user_id,
        level=HaltLevel.REDUCING,
        code=CODE,
        reason=" ".join(map(drift_sentence, differences))[:500],
        source=HaltSource.SYSTEM,
        set_by=WHO,
        now=now,
    )
    with transaction.atomic():
        account = account_hold(run)
        for difference in new:
            _publish(run, account, difference, now=now)


def _publish(run: BotRun, account: Account, difference: Difference, *, now: datetime) -> None:
    row = AccountAsset.objects.get(account=account, asset=difference.asset)
    row.drift_since = row.drift_since or now
    row.drift_expected, row.drift_found = difference.expected, difference.found
    row.save(update_fields=["drift_since", "drift_expected", "drift_found"])
    publish(
        AccountDrift(
            credential_id=run.credential_id,
            user_id=run.user_id,
            mode=Mode(run.mode),
            asset=difference.asset,
            code=difference.code,
            expected=difference.expected,
            found=difference.found,
            difference=difference.amount,
            allocated=difference.allocated,
            found_at=now,
        ),
        now=now,
    )
    log.error("account_drift", **_said(run, difference))


def _lift(run: BotRun, *, now: datetime) -> None:
    halt_lift(
        scope=HaltScope.KEY,
        subject_id=run.credential_id,
        source=HaltSource.SYSTEM,
        code=CODE,
        lifted_by=WHO,
        because="The exchange's balances are again what the ledger says.",
        now=now,
    )


def drift_sentence(difference: Difference) -> str:
    """The difference in a sentence for people, with both figures."""
    what = "bots hold" if difference.code == "uncovered" else "there must be"
    if difference.is_bound:
        what = "there must be at least"
    return (
        f"Of {difference.asset} {what} {plain(difference.expected)}, and the exchange shows {plain(difference.found)}."
    )


def _is_told(run: BotRun, difference: Difference) -> bool:
    """Whether this difference was told before: expected and found may move on together, with trades."""
    row = AccountAsset.objects.filter(account_id=run.credential_id, asset=difference.asset).first()
    if row is None or row.drift_expected is None or row.drift_found is None:
        return False
    told: Decimal = row.drift_found - row.drift_expected
    return abs(told - difference.amount) <= tolerance(difference.found, postings=row.postings)


def _said(run: BotRun, difference: Difference) -> dict[str, str]:
    return {
        "credential_id": str(run.credential_id),
        "asset": difference.asset,
        "code": difference.code,
        "expected": plain(difference.expected),
        "found": plain(difference.found),
    }


def _compare_at(run: BotRun, at: datetime) -> None:
    due = {"compare_at": at}
    Account.objects.update_or_create(
        credential_id=run.credential_id, defaults=due, create_defaults={**due, "user_id": run.user_id}
    )
