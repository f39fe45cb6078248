"""The only writer of the paper exchange's tables."""

from apps.paper.services.accounts import OpenedAccount, account_open, key_secret
from apps.paper.services.keys import key_failure_record, nonce_use
from apps.paper.services.markets import market_current, markets_restart
from apps.paper.services.orders import (
    Amendment,
    account_settle,
    dead_man_set,
    order_amend,
    order_cancel,
    order_check,
    order_place,
    orders_cancel_all,
)

__all__ = [
    "Amendment",
    "OpenedAccount",
    "account_open",
    "account_settle",
    "dead_man_set",
    "key_failure_record",
    "key_secret",
    "market_current",
    "markets_restart",
    "nonce_use",
    "order_amend",
    "order_cancel",
    "order_check",
    "order_place",
    "orders_cancel_all",
]
