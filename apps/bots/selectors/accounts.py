"""Exchange accounts of a user: what of each asset is the bots', and what is nobody's."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.bots.adapters import ConnectedKey, keys_connected
from apps.bots.position_pnl import ZERO
from apps.core.terms import Mode
from apps.risk.caps import asset_name
from apps.risk.models.accounts import Account, AccountAsset, Allocation


@dataclass(frozen=True)
class AssetShares:
    """One asset: `total` = `bots_cash` + `bots_coins` + `unallocated`; `dust` is what `total` was corrected by.

    `drift` is what the exchange shows beyond what is booked, while that is not explained; None where nothing is.
    """

    asset: str
    total: Decimal
    bots_cash: Decimal
    bots_coins: Decimal
    dust: Decimal
    drift: Decimal | None

    @property
    def unallocated(self) -> Decimal:
        return self.total - self.bots_cash - self.bots_coins


@dataclass(frozen=True)
class AccountShares:
    """`compared_at` is when the exchange's balances were last found equal to these; None before the first bot."""

    credential_id: UUID
    label: str
    mode: Mode
    compared_at: datetime | None
    assets: list[AssetShares]


def account_shares(*, user_id: UUID) -> list[AccountShares]:
    """An entry for each connected key, in the order of their labels. Four queries for any number of keys."""
    keys = keys_connected(user_id=user_id)
    accounts = Account.objects.in_bulk([key.id for key in keys])
    assets: dict[UUID, list[AccountAsset]] = defaultdict(list)
    for asset in AccountAsset.objects.filter(account_id__in=accounts).order_by("asset"):
        assets[asset.account_id].append(asset)
    cash: dict[tuple[UUID, str], Decimal] = defaultdict(Decimal)
    coins: dict[tuple[UUID, str], Decimal] = defaultdict(Decimal)
    for allocation in Allocation.objects.filter(account_id__in=accounts):
        cash[allocation.account_id, allocation.quote_asset] += allocation.quote_amount
        coins[allocation.account_id, allocation.base_asset] += allocation.base_amount
    return [
        AccountShares(
            credential_id=key.id,
            label=key.label,
            mode=key.mode,
            compared_at=accounts[key.id].compared_at if key.id in accounts else None,
            assets=[
                _shares(each, cash[key.id, each.asset], coins[key.id, each.asset])
                for each in assets[key.id]
                if each.booked or cash[key.id, each.asset] or coins[key.id, each.asset]
            ],
        )
        for key in _sorted(keys)
    ]


def _sorted(keys: Iterable[ConnectedKey]) -> list[ConnectedKey]:
    return sorted(keys, key=lambda key: (key.label, key.id))


def _shares(row: AccountAsset, cash: Decimal, coins: Decimal) -> AssetShares:
    drift = None
    if row.drift_found is not None and row.drift_expected is not None:
        drift = row.drift_found - row.drift_expected
    return AssetShares(
        asset=asset_name(row.asset),
        total=row.booked,
        bots_cash=cash or ZERO,
        bots_coins=coins or ZERO,
        dust=row.dust,
        drift=drift,
    )
