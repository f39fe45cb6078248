"""Whether two keys open the same exchange account. Kraken tells no account number, so it is proved by what one key saw:
the ids of orders, trades and ledger entries are unique over all accounts, and a key is shown those of its own only."""

from collections.abc import Callable, Sequence

import structlog

from apps.core.errors import PlatformError
from apps.exchange.factory import exchange_for
from apps.exchange.port import Credential as AnyLogin
from apps.exchange.port import Exchange
from apps.vault.key_users import KnownIds
from apps.vault.services.key_info import INTERACTIVE

log = structlog.get_logger(__name__)

# One id is a proof. A few more, because the exchange may have dropped the oldest: each unknown one costs calls.
IDS_ASKED = 4


def same_account(*, new: AnyLogin, old: AnyLogin | None, known: KnownIds) -> bool | None:
    """Whether the new key opens the account in which `known` was seen, or which the old key opens.

    None where nothing of that account is known to ask for. `old` is None where the old key may not be used any more.
    No transaction: this calls an exchange. Raises what reads of an exchange with the new key raise.
    """
    exchange = exchange_for(new, policy=INTERACTIVE)
    asked = False
    for ids, found_of in ((known.trade_ids, exchange.trades_of), (known.exchange_order_ids, exchange.orders)):
        if ids:
            asked = True
            if found_of(ids[:IDS_ASKED]):
                return True
    if not asked and old is not None:
        before = exchange_for(old, policy=INTERACTIVE)
        if orders := _seen(lambda: _newest_orders(before)):
            return bool(exchange.orders(orders))
        if entries := _seen(lambda: _ledger_entries(before)):
            return not set(entries).isdisjoint(_ledger_entries(exchange))
    return False if asked else None


def _seen(read: Callable[[], Sequence[str]]) -> Sequence[str]:
    """What the old key sees; nothing where it is not answered."""
    try:
        return read()
    except PlatformError as error:
        log.info("old_key_not_answered", code=error.code)
        return ()


def _newest_orders(exchange: Exchange) -> list[str]:
    orders = [*exchange.closed_orders(), *exchange.open_orders()]
    return [order.exchange_order_id for order in orders[-IDS_ASKED:]]


def _ledger_entries(exchange: Exchange) -> list[str]:
    return [row.entry_id for row in exchange.ledger()]
