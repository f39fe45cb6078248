"""Account ledger: wallets, trades and postings of the locked accounts of one transaction.

Balances and holds change only here.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.paper import ids
from apps.paper.engine.ledger import EntryType, Posting, postings_of
from apps.paper.engine.orders import ZERO, Fill, Liquidity, WorkingOrder
from apps.paper.models import Account, LedgerEntry, Order, Trade, Wallet


class AccountLedger:
    """Locks the rows of the accounts, in the order of their ids, until the transaction ends.

    Changes stay in memory until `save`. Create it inside a transaction.
    """

    def __init__(self, account_ids: Iterable[UUID]) -> None:
        locked = Account.objects.select_for_update(no_key=True).filter(id__in=set(account_ids)).order_by("id")
        self.accounts = {account.id: account for account in locked}
        self._wallets = {
            (wallet.account_id, wallet.asset): wallet for wallet in Wallet.objects.filter(account_id__in=self.accounts)
        }
        self._touched: dict[tuple[UUID, str], Wallet] = {}
        self._trades: list[Trade] = []
        self._entries: list[LedgerEntry] = []

    def free(self, account_id: UUID, asset: str) -> Decimal:
        wallet = self._wallets.get((account_id, asset))
        return wallet.balance - wallet.held if wallet else ZERO

    def deposit(self, account_id: UUID, asset: str, amount: Decimal, *, at: datetime) -> None:
        self._post(account_id, Posting(asset, amount, ZERO), EntryType.DEPOSIT, refid=ids.ledger_id(), at=at)

    def update(self, row: Order, working: WorkingOrder) -> None:
        """Copies an order's progress into its row (unsaved), and adjusts the wallet's held amount."""
        held_before = row.held
        row.volume, row.limit_price, row.queued_at = working.volume, working.limit, working.queued_at
        row.filled, row.status, row.reason = working.filled, working.status.value, working.reason
        row.taker_notional, row.maker_notional = working.taker_notional, working.maker_notional
        row.cost, row.fee, row.held = working.cost, working.fee, working.held
        row.closed_at = working.closed_at
        if row.held != held_before:
            self._wallet(row.account_id, working.held_asset.code).held += row.held - held_before

    def record_fill(self, row: Order, fill: Fill) -> None:
        """Adds the trade of a fill and its postings. Call it in the order of the fills' times."""
        trade = Trade(
            txid=ids.trade_txid(),
            order=row,
            account_id=row.account_id,
            pair=row.pair,
            side=row.side,
            price=fill.price,
            volume=fill.volume,
            cost=fill.cost,
            fee=fill.fee,
            is_maker=fill.liquidity is Liquidity.MAKER,
            traded_at=fill.at,
        )
        self._trades.append(trade)
        for posting in postings_of(fill):
            self._post(row.account_id, posting, EntryType.TRADE, refid=trade.txid, at=fill.at)

    def _post(self, account_id: UUID, posting: Posting, kind: EntryType, *, refid: str, at: datetime) -> None:
        wallet = self._wallet(account_id, posting.asset)
        wallet.balance += posting.change
        self._entries.append(
            LedgerEntry(
                ledger_id=ids.ledger_id(),
                account_id=account_id,
                asset=posting.asset,
                kind=kind.value,
                refid=refid,
                amount=posting.amount,
                fee=posting.fee,
                balance=wallet.balance,
                posted_at=at,
            )
        )

    def _wallet(self, account_id: UUID, asset: str) -> Wallet:
        key = (account_id, asset)
        if key not in self._wallets:
            self._wallets[key] = Wallet(account_id=account_id, asset=asset, balance=ZERO, held=ZERO)
        self._touched[key] = self._wallets[key]
        return self._wallets[key]

    def save(self) -> None:
        """Writes wallets, trades and postings. Save the orders before: trades refer to them."""
        for wallet in self._touched.values():
            wallet.save()
        Trade.objects.bulk_create(self._trades)
        LedgerEntry.objects.bulk_create(self._entries)
        self._touched, self._trades, self._entries = {}, [], []
