"""Queries. A caller that shows orders, trades or balances calls `account_settle` first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Exists, Q, QuerySet, Sum

from apps.paper import ids
from apps.paper.engine.orders import ZERO
from apps.paper.models import LIVE, ApiKey, KeyFailure, LedgerEntry, Order, Trade, Wallet
from apps.paper.signature import key_digest

PAGE = 50
_INT32 = 2**31


@dataclass(frozen=True, slots=True)
class Span:
    """A range of a history: after `start`, up to and including `end` (wall times), skipping `offset` rows."""

    start: datetime | None = None
    end: datetime | None = None
    offset: int = 0

    def of(self, *fields: str) -> Q:
        """The condition that one of the time columns lies in the span."""
        condition = Q()
        for field in fields:
            inside = Q()
            if self.start is not None:
                inside &= Q(**{f"{field}__gt": self.start})
            if self.end is not None:
                inside &= Q(**{f"{field}__lte": self.end})
            condition |= inside
        return condition


def key_find(key: str, *, now: datetime) -> tuple[ApiKey | None, bool]:
    """The key with its account, or None, and whether the key as sent is locked out (unknown keys can be, too)."""
    lockouts = KeyFailure.objects.filter(key_digest=key_digest(key), locked_until__gt=now)
    found = ApiKey.objects.select_related("account").annotate(is_locked=Exists(lockouts)).filter(key=key).first()
    return (found, found.is_locked) if found else (None, lockouts.exists())


def wallet_list(account_id: UUID) -> list[Wallet]:
    return list(Wallet.objects.filter(account_id=account_id).order_by("asset"))


def live_pairs(account_id: UUID) -> set[str]:
    live = Order.objects.filter(account_id=account_id, status__in=LIVE)
    return set(live.order_by().values_list("pair", flat=True).distinct())


def live_orders_matching(account_id: UUID, reference: str, *, by_client_id: bool) -> list[Order] | None:
    """Live orders with this client order id, txid or userref. None if the text is none of these."""
    live = Order.objects.filter(account_id=account_id, status__in=LIVE)
    if by_client_id:
        return list(live.filter(cl_ord_id=reference))
    if ids.is_txid(reference):
        return list(live.filter(txid=reference))
    if reference.removeprefix("-").isdigit() and -_INT32 <= int(reference) < _INT32 and int(reference):
        return list(live.filter(userref=int(reference)))
    return None


def open_order_list(account_id: UUID, *, userref: int | None, cl_ord_id: str | None) -> list[Order]:
    live = Order.objects.filter(account_id=account_id, status__in=LIVE)
    return list(_referenced(live, userref, cl_ord_id).order_by("-opened_at", "-id"))


def closed_order_list(
    account_id: UUID, *, userref: int | None, cl_ord_id: str | None, span: Span, time_columns: Sequence[str]
) -> tuple[list[Order], int]:
    """A page of ended orders, last ended first, and their total. The span applies to any of `time_columns`."""
    ended = Order.objects.filter(span.of(*time_columns), account_id=account_id).exclude(status__in=LIVE)
    ended = _referenced(ended, userref, cl_ord_id)
    return list(ended.order_by("-closed_at", "-id")[span.offset : span.offset + PAGE]), ended.count()


def order_list_by_txid(account_id: UUID, txids: Sequence[str], *, userref: int | None) -> list[Order]:
    orders = Order.objects.filter(account_id=account_id, txid__in=txids)
    return list(_referenced(orders, userref, None))


def _referenced(orders: "QuerySet[Order]", userref: int | None, cl_ord_id: str | None) -> "QuerySet[Order]":
    if userref is not None:
        orders = orders.filter(userref=userref)
    if cl_ord_id is not None:
        orders = orders.filter(cl_ord_id=cl_ord_id)
    return orders


def trade_txids_by_order(orders: Sequence[Order]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {order.pk: [] for order in orders}
    for order_id, txid in Trade.objects.filter(order__in=orders).order_by("id").values_list("order_id", "txid"):
        found[order_id].append(txid)
    return found


def trade_list(account_id: UUID, *, span: Span) -> tuple[list[Trade], int]:
    trades = Trade.objects.filter(span.of("traded_at"), account_id=account_id)
    page = trades.select_related("order").order_by("-traded_at", "-id")[span.offset : span.offset + PAGE]
    return list(page), trades.count()


def trade_list_by_txid(account_id: UUID, txids: Sequence[str]) -> list[Trade]:
    return list(Trade.objects.select_related("order").filter(account_id=account_id, txid__in=txids))


def ledger_list(
    account_id: UUID, *, assets: Sequence[str] | None, kind: str | None, span: Span
) -> tuple[list[LedgerEntry], int]:
    """A page of postings, newest first, and their total."""
    entries = LedgerEntry.objects.filter(span.of("posted_at"), account_id=account_id)
    if assets is not None:
        entries = entries.filter(asset__in=assets)
    if kind is not None:
        entries = entries.filter(kind=kind)
    return list(entries.order_by("-id")[span.offset : span.offset + PAGE]), entries.count()


def moment_of(account_id: UUID, txid: str) -> datetime | None:
    """When the account's order was opened, its trade executed or its ledger entry posted."""
    own = {"account_id": account_id}
    times = (
        Order.objects.filter(txid=txid, **own).values_list("opened_at", flat=True),
        Trade.objects.filter(txid=txid, **own).values_list("traded_at", flat=True),
        LedgerEntry.objects.filter(ledger_id=txid, **own).values_list("posted_at", flat=True),
    )
    return next((moment for found in times for moment in found), None)


def volume_30_days(account_id: UUID, *, now: datetime) -> Decimal:
    """The account's traded volume of the last 30 days in USD, the quote currency of every listed pair."""
    recent = Trade.objects.filter(account_id=account_id, traded_at__gt=now - timedelta(days=30))
    return recent.aggregate(total=Sum("cost"))["total"] or ZERO


def ledger_totals() -> dict[str, tuple[Decimal, Decimal]]:
    """Per asset, the sum of all postings and the sum of all balances. The ledger balances if they are equal."""
    posted = LedgerEntry.objects.order_by().values("asset").annotate(amount=Sum("amount"), charged=Sum("fee"))
    balances = dict(Wallet.objects.order_by().values_list("asset").annotate(total=Sum("balance")))
    return {row["asset"]: (row["amount"] - row["charged"], balances[row["asset"]]) for row in posted}
