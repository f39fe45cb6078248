"""What explains a difference between an account's balances and the ledger: late fills, and foreign movements."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from django.db import transaction

from apps.exchange.errors import HistoryTooLong
from apps.exchange.types import LedgerRow
from apps.risk.comparison import Difference, explanation, tolerance
from apps.risk.models.accounts import Account, AccountAsset, AccountMovement
from apps.trading.models.ledger import Fill
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import Dependencies
from apps.trading.services.orders.allocations import account_hold
from apps.trading.services.orders.placement import order_update

log = structlog.get_logger(__name__)

# The exchange's ledger is read from this long before the last comparison: clocks differ.
LOOK_BACK = timedelta(minutes=2)


def differences_explain(run: BotRun, differences: Sequence[Difference], deps: Dependencies) -> bool:
    """Books late fills and records foreign movements. Whether anything was found."""
    unexplained = [each for each in differences if each.code == "unexplained" and not each.is_bound]
    if not unexplained:
        return False
    account = Account.objects.get(credential_id=run.credential_id)
    assert account.compared_at is not None
    try:
        rows = deps.exchange.ledger(start=account.compared_at - LOOK_BACK)
    except HistoryTooLong:
        log.warning("account_ledger_too_long", credential_id=str(run.credential_id))
        return False
    foreign = _foreign(run, rows)
    if _book_late_fills(run, foreign, deps):
        return True
    recorded = [_record_movements(run, each, foreign, now=deps.clock()) for each in unexplained]
    return any(recorded)


def _foreign(run: BotRun, rows: Sequence[LedgerRow]) -> list[LedgerRow]:
    """The rows that are neither of a booked fill nor recorded before."""
    booked = Fill.objects.filter(credential_id=run.credential_id, exchange_trade_id__in=[row.reference for row in rows])
    ours = set(booked.values_list("exchange_trade_id", flat=True))
    recorded = AccountMovement.objects.filter(account_id=run.credential_id, entry_id__in=[row.entry_id for row in rows])
    known = set(recorded.values_list("entry_id", flat=True))
    return [row for row in rows if row.reference not in ours and row.entry_id not in known]


def _book_late_fills(run: BotRun, foreign: Sequence[LedgerRow], deps: Dependencies) -> bool:
    """A last look at orders whose trades became visible after their end. Whether any fill was booked."""
    references = list(dict.fromkeys(row.reference for row in foreign if row.kind == "trade" and row.reference))
    if not references:
        return False
    trades = deps.exchange.trades_of(references)
    order_ids = {trade.exchange_order_id for trade in trades.values()}
    late = OrderIntent.objects.filter(credential_id=run.credential_id, txid__in=order_ids).select_related("run")
    before = Fill.objects.filter(credential_id=run.credential_id).count()
    orders = deps.exchange.orders([intent.txid for intent in late]) if late else {}
    for intent in late:
        log.warning("late_fill_found", client_order_id=intent.cl_ord_id, exchange_order_id=intent.txid)
        order_update(intent, orders.get(intent.txid), deps=deps)
    return Fill.objects.filter(credential_id=run.credential_id).count() > before


@transaction.atomic
def _record_movements(run: BotRun, difference: Difference, foreign: Sequence[LedgerRow], *, now: datetime) -> bool:
    account = account_hold(run)
    row = AccountAsset.objects.filter(account=account, asset=difference.asset).first()
    row = row or AccountAsset(account=account, asset=difference.asset)
    allowed = tolerance(difference.found, postings=row.postings)
    of_asset = [each for each in foreign if each.asset == difference.asset]
    moved = explanation(of_asset, difference.found - row.booked, allowed=allowed)
    for each in moved:
        AccountMovement.objects.create(
            account=account,
            entry_id=each.entry_id,
            kind=each.kind[:40],
            asset=each.asset,
            amount=each.change,
            moved_at=each.at,
            recorded_at=now,
        )
        row.booked += each.change
        row.postings += 1
    if moved:
        row.save()
        log.info("account_movements_recorded", credential_id=str(run.credential_id), asset=row.asset, rows=len(moved))
    return bool(moved)
