"""An operator accepts an account's balances: what nothing explains is recorded as a movement of what is unallocated.

The staff site has no keys: it stores an entry (`BalanceAcceptance`), and the reconciler, which asks the exchange,
carries it out and stores the result with it. A wrong acceptance is taken back by the entry of another person: its
movements are reversed, and the comparison finds the difference again.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

import structlog
from django.db import IntegrityError, transaction

from apps.core.context import message_context
from apps.core.errors import Conflict, NotFound, PlatformError
from apps.core.money import plain
from apps.exchange.types import ZERO
from apps.risk.errors import AccountChangedMeanwhile
from apps.risk.models.accounts import Account, AccountAsset, AccountMovement
from apps.risk.services.accounts import account_changed, account_changes
from apps.trading.models.acceptances import BalanceAcceptance
from apps.trading.models.runs import BotRun
from apps.trading.models.staff_entries import EntryState
from apps.trading.selectors import latest_run_of_key
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.orders.account_comparison import account_compare
from apps.trading.services.orders.account_doubts import in_flight, waiting_for_a_person
from apps.trading.services.orders.allocations import account_hold
from apps.trading.services.orders.staff_entries import (
    EXPIRES_AFTER,
    Operator,
    SecondPersonNeeded,
    entry_create,
    entry_finish,
    refuse_without_reason,
)

log = structlog.get_logger(__name__)

KIND = "accepted"


class NoDrift(Conflict):
    """No difference of the account's balances is told that could be accepted."""

    code = "no_drift"


class OrderNeedsPerson(Conflict):
    """An order of the key waits for manual resolution: what it came to would be booked a second time."""

    code = "order_needs_person"


class AcceptancePending(Conflict):
    """Another entry about the account waits to be carried out."""

    code = "acceptance_pending"


class NothingToTakeBack(Conflict):
    """No acceptance of the account is in force that could be taken back."""

    code = "nothing_to_take_back"


def balances_accept(
    *,
    credential_id: UUID,
    operator: str,
    because: str,
    entry: BalanceAcceptance | None = None,
    context: ExecutionContext = LIVE_CONTEXT,
) -> list[str]:
    """Takes the exchange's balances over where a drift is told, and finishes the entry that asked for it, if one did.

    Returns a sentence for each asset. What bots have does not change: where it is more than there is, the account stays
    limited to exits. Raises NotFound, NoDrift, OrderNeedsPerson, AccountChangedMeanwhile while orders are in flight or
    booked, and what the exchange's reads raise.
    """
    run = _run_of(credential_id)
    with message_context(correlation_id=run.correlation_id, causation_id=run.started_event_id):
        seen = account_changes(credential_id)
        balances = context.deps(run).exchange.balances()
        with transaction.atomic():
            account = account_hold(run)
            if account.changes != seen or in_flight(credential_id).exists():
                raise AccountChangedMeanwhile("Orders of this key are in flight. Try again in a moment.")
            _refuse_doubts(credential_id)
            drifting = list(account.assets.filter(drift_since__isnull=False).order_by("asset"))
            if not drifting:
                raise NoDrift("No difference of this account's balances is told.")
            sentences, movements = [], []
            for row in drifting:
                total = balances[row.asset].total if row.asset in balances else ZERO
                sentences.append(f"{row.asset}: {plain(row.booked)} was booked, {plain(total)} is accepted.")
                if total != row.booked:
                    said = f"{operator}: {because}"
                    movements.append(_move(account, row, total - row.booked, said, now=context.clock()))
            if entry is not None:
                entry_finish(
                    BalanceAcceptance,
                    entry.id,
                    EntryState.APPLIED,
                    message=" ".join(sentences),
                    movements=movements,
                    now=context.clock(),
                )
        log.warning("balances_accepted", credential_id=str(credential_id), operator=operator, assets=len(drifting))
    account_compare(credential_id, context=context)
    return sentences


@transaction.atomic
def acceptance_request(
    *, credential_id: UUID, operator: Operator, because: str, takes_back: bool, now: datetime
) -> BalanceAcceptance:
    """Stores an entry for the reconciler, which carries it out within seconds.

    Raises ReasonMissing, NoDrift, NothingToTakeBack, SecondPersonNeeded, AcceptancePending.
    """
    refuse_without_reason(because)
    corrects = _to_take_back(credential_id, operator) if takes_back else None
    drifts = AccountAsset.objects.filter(account_id=credential_id, drift_since__isnull=False)
    if not takes_back and not drifts.exists():
        raise NoDrift("No difference of this account's balances is told.")
    try:
        with transaction.atomic():
            return entry_create(
                BalanceAcceptance,
                operator=operator,
                because=because,
                corrects=corrects,
                now=now,
                credential_id=credential_id,
            )
    except IntegrityError as error:
        raise AcceptancePending(
            "Another entry about this account is being carried out. Wait for its result."
        ) from error


def acceptance_in_force(credential_id: UUID) -> BalanceAcceptance | None:
    """The latest acceptance of the account, unless it was taken back."""
    applied = BalanceAcceptance.objects.filter(credential_id=credential_id, state=EntryState.APPLIED)
    taken_back = applied.filter(corrects__isnull=False).values("corrects_id")
    return applied.filter(corrects=None).exclude(id__in=taken_back).order_by("-requested_at").first()


def acceptances_carry_out(credential_id: UUID, *, context: ExecutionContext = LIVE_CONTEXT) -> None:
    """Carries out the entry that waits, if one does. A refusal that stays is stored as its result; the rest is retried.

    Repeatable: a process that dies in between leaves the entry waiting, or done.
    """
    entry = BalanceAcceptance.objects.filter(credential_id=credential_id, state=EntryState.REQUESTED).first()
    if entry is None:
        return
    try:
        if entry.corrects_id is not None:
            _take_back(entry, context=context)
        else:
            balances_accept(
                credential_id=credential_id,
                operator=entry.operator,
                because=entry.because,
                entry=entry,
                context=context,
            )
    except PlatformError as error:
        if error.retryable and context.clock() - entry.requested_at < EXPIRES_AFTER:
            log.info("acceptance_delayed", acceptance_id=str(entry.id), code=error.code)
            return
        entry_finish(
            BalanceAcceptance, entry.id, EntryState.REFUSED, code=error.code, message=error.message, now=context.clock()
        )


def accounts_with_entries() -> list[UUID]:
    """Credentials with an entry that waits to be carried out."""
    return list(BalanceAcceptance.objects.filter(state=EntryState.REQUESTED).values_list("credential_id", flat=True))


def _take_back(entry: BalanceAcceptance, *, context: ExecutionContext) -> None:
    """Reverses the movements of an acceptance and finishes the entry, in one transaction; then compares again."""
    corrects = BalanceAcceptance.objects.get(corrections=entry)
    run = _run_of(entry.credential_id)
    with (
        message_context(correlation_id=run.correlation_id, causation_id=run.started_event_id),
        transaction.atomic(),
    ):
        account = account_hold(run)
        _refuse_doubts(entry.credential_id)
        made = AccountMovement.objects.filter(account=account, id__in=corrects.movements).order_by("asset")
        reversed_ = []
        for movement in made:
            row = AccountAsset.objects.select_for_update().get(account=account, asset=movement.asset)
            said = f"{entry.operator}: {entry.because}"
            reversed_.append(_move(account, row, -movement.amount, said, now=context.clock()))
        account_changed(account, compare_at=context.clock())
        message = f"What {corrects.operator} accepted is taken back; the balances are compared again."
        entry_finish(
            BalanceAcceptance, entry.id, EntryState.APPLIED, message=message, movements=reversed_, now=context.clock()
        )
    log.warning("balances_taken_back", credential_id=str(entry.credential_id), operator=entry.operator)
    account_compare(entry.credential_id, context=context)


def _move(account: Account, row: AccountAsset, amount: Decimal, said: str, *, now: datetime) -> str:
    """Books the movement. Returns its id, as an entry keeps it."""
    movement = AccountMovement.objects.create(
        account=account,
        entry_id=uuid4().hex,
        kind=KIND,
        asset=row.asset,
        amount=amount,
        because=said[:500],
        moved_at=now,
        recorded_at=now,
    )
    row.booked += amount
    row.save(update_fields=["booked"])
    return str(movement.id)


def _to_take_back(credential_id: UUID, operator: Operator) -> BalanceAcceptance:
    found = acceptance_in_force(credential_id)
    if found is None:
        raise NothingToTakeBack("No acceptance of this account's balances is in force.")
    if found.operator_id == operator.id:
        raise SecondPersonNeeded("You accepted these balances. Another person has to take that back.")
    return found


def _run_of(credential_id: UUID) -> BotRun:
    run = latest_run_of_key(credential_id)
    if run is None:
        raise NotFound("No bot has run with this key.")
    return run


def _refuse_doubts(credential_id: UUID) -> None:
    waiting = list(waiting_for_a_person(credential_id).values_list("cl_ord_id", flat=True))
    if waiting:
        raise OrderNeedsPerson(
            f"Resolve {', '.join(waiting)} first: what an unclear order came to is in the balances already.",
            client_order_ids=waiting,
        )
