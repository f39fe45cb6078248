"""Changes of an account's sub-ledger. The caller's transaction holds the account's row (`account_get_for_update`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import F

from apps.exchange.types import ZERO, Balance
from apps.risk.budgets import cover_of, refuse_beyond
from apps.risk.models.accounts import Account, AccountAsset, Allocation
from apps.risk.selectors import allocated


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a bot has of an account, by its position. `quote_spent` is purchases less sales, fees included."""

    bot_id: UUID
    pair: str
    base_asset: str
    quote_asset: str
    base_volume: Decimal
    quote_spent: Decimal
    quote_reserved: Decimal


def account_get_for_update(*, credential_id: UUID, user_id: UUID) -> Account:
    """The account, locked until the end of the transaction."""
    Account.objects.get_or_create(credential_id=credential_id, defaults={"user_id": user_id})
    return Account.objects.select_for_update().get(credential_id=credential_id)


def account_open(account: Account, balances: Mapping[str, Balance], *, now: datetime) -> None:
    """Takes the exchange's balances as the first ones that are known. Nothing may be in flight."""
    for asset, balance in sorted(balances.items()):
        AccountAsset.objects.update_or_create(account=account, asset=asset, defaults={"booked": balance.total})
    account.compared_at = now
    account.save(update_fields=["compared_at"])


def account_changes(credential_id: UUID) -> int:
    """To be compared after a call to the exchange: its balances count only where nothing has changed meanwhile."""
    return Account.objects.filter(credential_id=credential_id).values_list("changes", flat=True).first() or 0


def account_changed(account: Account, *, compare_at: datetime | None = None) -> None:
    """Counts a change of the sub-ledger. A comparison that is due earlier stays so."""
    account.changes += 1
    if compare_at is not None:
        account.compare_at = min(account.compare_at or compare_at, compare_at)
    account.save(update_fields=["changes", "compare_at"])


def allocation_begin(
    account: Account,
    share: Share,
    *,
    budget: Decimal,
    balances: Mapping[str, Balance],
    in_flight: Decimal,
    reserved: Decimal,
    now: datetime,
) -> Allocation:
    """Gives a bot that starts its budget out of what is unallocated. Raises BudgetExceedsAccount.

    `in_flight` is what sales of other bots may bring that are not booked yet, `reserved` what the platform's open
    orders hold of the quote asset.
    """
    asked = max(ZERO, budget - share.quote_spent)
    others = allocated(account.credential_id, share.quote_asset, except_bot=share.bot_id)
    cover = cover_of(
        balances.get(share.quote_asset), asset=share.quote_asset, allocated=others + in_flight, reserved=reserved
    )
    refuse_beyond(cover, asked=asked)
    allocation = _save(account, share, budget)
    account_changed(account, compare_at=now)
    return allocation


def allocation_follow(account: Account, share: Share, *, budget: Decimal | None) -> None:
    """Brings the bot's share in line with its position. `budget` is for a bot that has no share yet."""
    found = Allocation.objects.filter(bot_id=share.bot_id).first()
    _save(account, share, found.quote_budget if found else budget)


def allocation_release(account: Account, share: Share, *, now: datetime) -> None:
    """Ends the allocation of cash with the bot's run. Coins stay the bot's, and so does what open orders reserve."""
    _save(account, share, None)
    account_changed(account, compare_at=now)


def account_book(account: Account, changes: Mapping[str, Decimal], *, postings: int = 1) -> None:
    """Books changes of balances by asset. Does nothing before the account's first balances are known."""
    if account.compared_at is None:
        return
    for asset, amount in sorted((asset, amount) for asset, amount in changes.items() if amount):
        AccountAsset.objects.get_or_create(account=account, asset=asset)
        AccountAsset.objects.filter(account=account, asset=asset).update(
            booked=F("booked") + amount, postings=F("postings") + postings
        )


def _save(account: Account, share: Share, budget: Decimal | None) -> Allocation:
    cash = share.quote_reserved if budget is None else max(share.quote_reserved, budget - share.quote_spent)
    allocation, _ = Allocation.objects.update_or_create(
        bot_id=share.bot_id,
        defaults={
            "account": account,
            "pair": share.pair,
            "base_asset": share.base_asset,
            "quote_asset": share.quote_asset,
            "quote_budget": budget,
            "quote_amount": max(ZERO, cash),
            "base_amount": share.base_volume,
        },
    )
    return allocation
