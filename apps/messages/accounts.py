"""Events about exchange accounts: whether the exchange's balances are what the platform's ledger says."""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from apps.core.terms import Mode
from apps.messages.base import Event
from apps.messages.topics import TRADING_EVENTS


class AccountDrift(Event, name="account.drift", topic=TRADING_EVENTS.name, aggregate="credential", key="credential_id"):
    """An asset's balance on the exchange is not what it must be. All amounts are in the asset.

    `unexplained`: `expected` is what the platform has booked, with every deposit, withdrawal and foreign trade.
    `uncovered`: `expected` is what bots have of the asset, and the exchange has less. Told once for each difference.
    """

    credential_id: UUID
    user_id: UUID
    mode: Mode
    asset: str
    code: Literal["unexplained", "uncovered"]
    expected: Decimal
    found: Decimal
    difference: Decimal
    allocated: Decimal
    found_at: datetime


class AccountDriftResolved(
    Event, name="account.drift.resolved", topic=TRADING_EVENTS.name, aggregate="credential", key="credential_id"
):
    """An asset's balance on the exchange is again what it must be, `balance` in the asset."""

    credential_id: UUID
    user_id: UUID
    mode: Mode
    asset: str
    balance: Decimal
    resolved_at: datetime
