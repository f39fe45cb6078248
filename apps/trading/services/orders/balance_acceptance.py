"""An operator accepts an account's balances: what nothing explains is recorded as a movement of what is unallocated."""

from uuid import UUID, uuid4

import structlog
from django.db import transaction

from apps.core.context import message_context
from apps.core.errors import Conflict, NotFound
from apps.core.money import plain
from apps.exchange.types import ZERO
from apps.risk.errors import AccountChangedMeanwhile
from apps.risk.models.accounts import AccountMovement
from apps.risk.services.accounts import account_changes
from apps.trading.selectors import latest_run_of_key
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.orders.account_comparison import account_compare, in_flight
from apps.trading.services.orders.allocations import account_hold

log = structlog.get_logger(__name__)

KIND = "accepted"


class NoDrift(Conflict):
    """No difference of the account's balances is told that could be accepted."""

    code = "no_drift"


def balances_accept(
    *, credential_id: UUID, operator: str, because: str, context: ExecutionContext = LIVE_CONTEXT
) -> list[str]:
    """Takes the exchange's balances over where a drift is told. Returns a sentence for each asset.

    What bots have does not change: where it is more than there is, the account stays limited to exits. Raises
    NotFound, NoDrift, AccountChangedMeanwhile while orders are in flight or booked, and what the exchange's reads
    raise.
    """
    run = latest_run_of_key(credential_id)
    if run is None:
        raise NotFound("No bot has run with this key.")
    with message_context(correlation_id=run.correlation_id, causation_id=run.started_event_id):
        seen = account_changes(credential_id)
        balances = context.deps(run).exchange.balances()
        with transaction.atomic():
            account = account_hold(run)
            if account.changes != seen or in_flight(credential_id).exists():
                raise AccountChangedMeanwhile("Orders of this key are in flight. Try again in a moment.")
            drifting = list(account.assets.filter(drift_since__isnull=False).order_by("asset"))
            if not drifting:
                raise NoDrift("No difference of this account's balances is told.")
            accepted = []
            for row in drifting:
                total = balances[row.asset].total if row.asset in balances else ZERO
                if total != row.booked:
                    AccountMovement.objects.create(
                        account=account,
                        entry_id=uuid4().hex,
                        kind=KIND,
                        asset=row.asset,
                        amount=total - row.booked,
                        because=f"{operator}: {because}"[:500],
                        moved_at=context.clock(),
                        recorded_at=context.clock(),
                    )
                accepted.append(f"{row.asset}: {plain(row.booked)} was booked, {plain(total)} is accepted.")
                row.booked = total
                row.save(update_fields=["booked"])
        log.warning("balances_accepted", credential_id=str(credential_id), operator=operator, assets=len(accepted))
    account_compare(credential_id, context=context)
    return accepted
