"""Tables of the paper exchange.

Lock order of every writer: markets by pair, accounts by id, then the rest. A writer of an order holds the lock on its
market's row; a writer of a balance holds the lock on its account's row.
"""

from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from apps.core.ids import new_id
from apps.paper.engine.ledger import EntryType
from apps.paper.engine.orders import OrderType, Side, Status, TimeInForce

LIVE = [Status.PENDING.value, Status.OPEN.value]


def _amount(**options: Any) -> "models.DecimalField[Any, Any]":
    """An amount of an asset or a price: exact for every pair's price, lot and cost decimals."""
    return models.DecimalField(max_digits=32, decimal_places=10, **options)


def _notional(**options: Any) -> "models.DecimalField[Any, Any]":
    """Price times volume before rounding: up to 7 and 8 decimals."""
    return models.DecimalField(max_digits=48, decimal_places=16, **options)


def _rate(**options: Any) -> "models.DecimalField[Any, Any]":
    return models.DecimalField(max_digits=8, decimal_places=6, **options)


class Market(models.Model):
    """A replayed pair and the step up to which its resting orders are settled. The row's lock serialises matching.

    The current candle follows from the clock columns and the wall time, so that a restart does not change it.
    """

    pair = models.CharField(max_length=12, primary_key=True)
    fingerprint = models.CharField(max_length=80)
    started_at = models.DateTimeField()
    start_step = models.BigIntegerField()
    candle_seconds = models.FloatField()
    settled_step = models.BigIntegerField()
    taken_candle = models.IntegerField(default=-1)
    taken_asks = models.BigIntegerField(default=0)
    taken_bids = models.BigIntegerField(default=0)

    class Meta:
        db_table = "paper_market"
        verbose_name = "paper market"
        constraints = [
            models.CheckConstraint(condition=Q(candle_seconds__gt=0), name="paper_market_candles_last"),
            models.CheckConstraint(condition=Q(taken_asks__gte=0, taken_bids__gte=0), name="paper_market_taken"),
        ]


class Account(models.Model):
    """A trader's account. `cancel_all_at` is the dead-man's switch: orders opened before that time end at it."""

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    label = models.CharField(max_length=80)
    fee_schedule = models.CharField(max_length=32)
    cancel_all_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "paper_account"
        verbose_name = "paper account"
        constraints = [models.UniqueConstraint(fields=["owner_id", "label"], name="paper_account_owner_label")]


class ApiKey(models.Model):
    """An API key of an account. The secret is stored under envelope encryption; `nonce` is the highest one seen."""

    key = models.CharField(max_length=56, primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=80)
    permissions = ArrayField(models.CharField(max_length=32))
    secret_nonce = models.BinaryField()
    secret_ciphertext = models.BinaryField()
    secret_wrapped_key = models.BinaryField()
    # Unsigned 64-bit, which bigint cannot hold.
    nonce: "models.DecimalField[Any, Any]" = models.DecimalField(max_digits=20, decimal_places=0, default=0)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "paper_api_key"


class KeyFailure(models.Model):
    """Count of calls with an unknown key or a wrong signature. `key_digest` is the SHA-256 of the key as sent."""

    key_digest = models.CharField(max_length=64, primary_key=True)
    failures = models.IntegerField()
    window_began_at = models.DateTimeField(db_index=True)
    locked_until = models.DateTimeField(null=True)

    class Meta:
        db_table = "paper_key_failure"


class Wallet(models.Model):
    """An account's balance of one asset, and how much of it is held for open orders."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="wallets")
    asset = models.CharField(max_length=10)
    balance = _amount(default=0)
    held = _amount(default=0)

    class Meta:
        db_table = "paper_wallet"
        verbose_name = "paper wallet"
        constraints = [
            models.UniqueConstraint(fields=["account", "asset"], name="paper_wallet_account_asset"),
            models.CheckConstraint(condition=Q(balance__gte=0), name="paper_wallet_balance_not_negative"),
            models.CheckConstraint(condition=Q(held__gte=0), name="paper_wallet_held_not_negative"),
            models.CheckConstraint(condition=Q(held__lte=F("balance")), name="paper_wallet_held_is_covered"),
        ]


class Order(models.Model):
    """An order's terms, progress and end. `id` breaks ties of price and time."""

    txid = models.CharField(max_length=24, unique=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="orders")
    pair = models.CharField(max_length=12)
    side = models.CharField(max_length=4, choices=[(side.value, side.value) for side in Side])
    kind = models.CharField(max_length=10, choices=[(kind.value, kind.value) for kind in OrderType])
    time_in_force = models.CharField(max_length=3, choices=[(tif.value, tif.value) for tif in TimeInForce])
    volume = _amount()
    limit_price = _amount(null=True)
    post_only = models.BooleanField(default=False)
    oflags = models.CharField(max_length=40)
    userref = models.IntegerField(null=True)
    cl_ord_id = models.CharField(max_length=36, null=True)  # noqa: DJ001 (no id is not the empty id)
    taker_rate = _rate()
    maker_rate = _rate()
    filled = _amount(default=0)
    taker_notional = _notional(default=0)
    maker_notional = _notional(default=0)
    cost = _amount(default=0)
    fee = _amount(default=0)
    held = _amount(default=0)
    status = models.CharField(max_length=8, choices=[(status.value, status.value) for status in Status])
    reason = models.CharField(max_length=60, null=True)  # noqa: DJ001 (null on Kraken's wire too)
    amend_id = models.CharField(max_length=24, blank=True)
    opened_at = models.DateTimeField()
    queued_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "paper_order"
        verbose_name = "paper order"
        indexes = [
            models.Index(fields=["pair"], condition=Q(status__in=LIVE), name="paper_order_live_by_pair"),
            models.Index(fields=["account", "id"], condition=Q(status__in=LIVE), name="paper_order_live_by_account"),
            models.Index(fields=["account", "closed_at"], name="paper_order_closed"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "cl_ord_id"], condition=Q(status__in=LIVE), name="paper_order_live_cl_ord_id"
            ),
            models.CheckConstraint(
                condition=Q(volume__gt=0, filled__gte=0, filled__lte=F("volume")), name="paper_order_filled_in_volume"
            ),
            models.CheckConstraint(condition=Q(cost__gte=0, fee__gte=0, held__gte=0), name="paper_order_amounts"),
            models.CheckConstraint(
                condition=Q(status__in=LIVE, closed_at__isnull=True)
                | (~Q(status__in=LIVE) & Q(closed_at__isnull=False, held=0)),
                name="paper_order_ended_holds_nothing",
            ),
            models.CheckConstraint(
                condition=~Q(status=Status.CLOSED.value) | Q(filled=F("volume")), name="paper_order_closed_is_filled"
            ),
            models.CheckConstraint(
                condition=Q(kind=OrderType.LIMIT.value, limit_price__gt=0)
                | Q(kind=OrderType.MARKET.value, limit_price__isnull=True),
                name="paper_order_limit_has_price",
            ),
            models.CheckConstraint(
                condition=Q(cl_ord_id__isnull=True) | Q(userref__isnull=True), name="paper_order_one_client_reference"
            ),
        ]


class Trade(models.Model):
    """A fill. Cost and fee in the quote currency; `traded_at` in wall time."""

    txid = models.CharField(max_length=24, unique=True)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="trades")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="trades")
    pair = models.CharField(max_length=12)
    side = models.CharField(max_length=4, choices=[(side.value, side.value) for side in Side])
    price = _amount()
    volume = _amount()
    cost = _amount()
    fee = _amount()
    is_maker = models.BooleanField()
    traded_at = models.DateTimeField()

    class Meta:
        db_table = "paper_trade"
        verbose_name = "paper trade"
        indexes = [models.Index(fields=["account", "traded_at"], name="paper_trade_account_time")]
        constraints = [
            models.CheckConstraint(
                condition=Q(price__gt=0, volume__gt=0, cost__gte=0, fee__gte=0), name="paper_trade_amounts"
            )
        ]


class LedgerEntry(models.Model):
    """A posting: `balance` is the wallet's after adding `amount` and subtracting `fee`. Rows are append-only.

    The counter-account follows from `kind`: the market for a trade, an external account for a deposit. Fees go to the
    exchange.
    """

    ledger_id = models.CharField(max_length=24, unique=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="ledger_entries")
    asset = models.CharField(max_length=10)
    kind = models.CharField(max_length=10, choices=[(kind.value, kind.value) for kind in EntryType])
    refid = models.CharField(max_length=24)
    amount = _amount()
    fee = _amount(default=0)
    balance = _amount()
    posted_at = models.DateTimeField()

    class Meta:
        db_table = "paper_ledger_entry"
        verbose_name = "paper ledger entry"
        verbose_name_plural = "paper ledger entries"
        indexes = [models.Index(fields=["account", "posted_at"], name="paper_ledger_account_time")]
        constraints = [
            models.CheckConstraint(condition=Q(fee__gte=0, balance__gte=0), name="paper_ledger_entry_amounts"),
            models.UniqueConstraint(fields=["refid", "asset"], name="paper_ledger_entry_posted_once"),
        ]
