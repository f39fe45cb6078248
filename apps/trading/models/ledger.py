from decimal import Decimal
from uuid import UUID

from django.db import models
from django.db.models import F, Q

from apps.core.ids import new_id
from apps.core.money import money_field
from apps.trading.models.orders import ZERO, OrderIntent


class Position(models.Model):
    """What a bot holds of a pair on one exchange account and what it spent on it, over all its runs there.

    Updated with every fill. The coins of one account are never sold on another.

    `quote_spent` is purchases less sales, fees included: negative after a profit. `base_reserved` and `quote_reserved`
    are what active orders may still take. `base_missing` is what the exchange lacked when it refused a sale; the coming
    ones leave it out.
    """

    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    credential_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    pair = models.CharField(max_length=20)
    base_asset = models.CharField(max_length=20)
    quote_asset = models.CharField(max_length=20)
    base_volume = money_field(default=ZERO)
    quote_spent = money_field(default=ZERO)
    quote_fees = money_field(default=ZERO)
    base_reserved = money_field(default=ZERO)
    base_missing = money_field(default=ZERO)
    quote_reserved = money_field(default=ZERO)
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "trading_position"
        constraints = [
            models.UniqueConstraint(fields=["bot_id", "credential_id", "pair"], name="trading_position_one_a_bot"),
            models.CheckConstraint(condition=Q(base_volume__gte=0), name="trading_position_never_short"),
            models.CheckConstraint(condition=Q(quote_fees__gte=0), name="trading_position_fees"),
            models.CheckConstraint(condition=Q(base_missing__gte=0), name="trading_position_missing"),
            models.CheckConstraint(
                condition=Q(base_reserved__gte=0, quote_reserved__gte=0, base_reserved__lte=F("base_volume")),
                name="trading_position_reserved_is_covered",
            ),
        ]

    @property
    def base_available(self) -> Decimal:
        """What can be sold now; may be negative."""
        available: Decimal = self.base_volume - self.base_reserved - self.base_missing
        return available


class Fill(models.Model):
    """A trade of the exchange for one of our orders. Cost and fee are in the quote asset. Append-only."""

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    intent = models.ForeignKey(OrderIntent, on_delete=models.PROTECT, related_name="fills")
    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    credential_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    exchange_trade_id = models.CharField(max_length=40)
    price = money_field()
    volume = money_field()
    cost = money_field()
    fee = money_field()
    executed_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    class Meta:
        db_table = "trading_fill"
        indexes = [models.Index(fields=["bot_id", "executed_at"], name="trading_fill_by_bot")]
        constraints = [
            models.UniqueConstraint(fields=["credential_id", "exchange_trade_id"], name="trading_fill_once"),
            models.CheckConstraint(
                condition=Q(price__gt=0, volume__gt=0, cost__gte=0, fee__gte=0), name="trading_fill_amounts"
            ),
        ]


class LedgerAccount(models.TextChoices):
    """Accounts of a bot's double-entry ledger."""

    CASH = "cash", "The bot's quote currency; starts at zero, so that its balance is what the bot earned or spent"
    POSITION = "position", "The base asset that the bot holds"
    MARKET = "market", "The counterparty"
    FEES = "fees", "What the exchange kept"
    UNALLOCATED = "unallocated", "What is in the exchange account and belongs to no bot"
    DUST = "dust", "Lots that the bot bought and the exchange does not have"


class ReleaseReason(models.TextChoices):
    BOT_DELETED = "bot_deleted"
    KEY_DISCONNECTED = "key_disconnected"
    MISSING = "missing", "The exchange had a lot or two less"


class Release(models.Model):
    """Coins that a bot gave up to its exchange account. Nothing moves at the exchange. Append-only.

    `command_id` is the command that gave them up; None where they came by an order that ended after it.
    """

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(db_index=True)
    credential_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    command_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    pair = models.CharField(max_length=20)
    base_asset = models.CharField(max_length=20)
    volume = money_field()
    reason = models.CharField(max_length=16, choices=ReleaseReason.choices)
    released_at = models.DateTimeField()

    class Meta:
        db_table = "trading_release"
        constraints = [
            models.CheckConstraint(condition=Q(volume__gt=0), name="trading_release_amount"),
            models.CheckConstraint(condition=Q(reason__in=list(ReleaseReason)), name="trading_release_reason"),
        ]


class LedgerEntry(models.Model):
    """One posting of a fill or of a release, whose postings add up to zero in each asset (a constraint trigger)."""

    fill = models.ForeignKey(Fill, on_delete=models.PROTECT, null=True, related_name="postings")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, null=True, related_name="postings")
    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    account = models.CharField(max_length=12, choices=LedgerAccount.choices)
    asset = models.CharField(max_length=20)
    amount = money_field()
    posted_at = models.DateTimeField()

    class Meta:
        db_table = "trading_ledger_entry"
        verbose_name_plural = "ledger entries"
        indexes = [models.Index(fields=["bot_id", "account"], name="trading_ledger_by_bot")]
        constraints = [
            models.UniqueConstraint(fields=["fill", "account", "asset"], name="trading_ledger_posted_once"),
            models.UniqueConstraint(fields=["release", "account", "asset"], name="trading_ledger_released_once"),
            models.CheckConstraint(
                condition=Q(fill=None, release__isnull=False) | Q(fill__isnull=False, release=None),
                name="trading_ledger_of_one_cause",
            ),
            models.CheckConstraint(condition=Q(account__in=list(LedgerAccount)), name="trading_ledger_account"),
            models.CheckConstraint(condition=~Q(amount=0), name="trading_ledger_amount"),
        ]
