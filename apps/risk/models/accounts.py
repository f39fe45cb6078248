"""The sub-ledger of an exchange account: what of its balances belongs to which bot, and whether it is all there.

For each asset: what bots hold + unallocated = `booked` = the exchange's balance. Dust is what `booked` was corrected by
for roundings of the exchange and for lots that were missing.
"""

from uuid import UUID

from django.db import models
from django.db.models import Q

from apps.core.ids import new_id
from apps.core.money import money_field

ZERO = 0


class Account(models.Model):
    """An exchange account, by the key that opens it. Its row's lock serialises every change of its sub-ledger.

    Lock order: after the bot's position and order, before anything is published. `changes` grows with every change:
    a balance of the exchange counts for the sub-ledger only while it is the same before the call and, under the lock,
    after it. `compared_at` is when the exchange was last found equal; None until its first balances are known. The next
    comparison is due at `compare_at`.
    """

    credential_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    changes = models.BigIntegerField(default=0)
    compare_at = models.DateTimeField(null=True)
    compared_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "risk_account"
        verbose_name = "exchange account"
        indexes = [models.Index(fields=["compare_at"], name="risk_account_compare_at")]
        constraints = [models.CheckConstraint(condition=Q(changes__gte=0), name="risk_account_changes")]

    def __str__(self) -> str:
        return str(self.credential_id)


class AccountAsset(models.Model):
    """One asset of an account. `booked` is what the exchange must show: the compared balance and what was booked since.

    `postings` counts what was booked since the exchange was last found equal: each may be off by the exchange's
    rounding. `dust` is the sum of the differences that were taken over. A difference is `suspected` when it is first
    seen; one that stays is a drift, told once with both figures.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="assets")
    asset = models.CharField(max_length=20)
    booked = money_field(default=ZERO)
    postings = models.PositiveIntegerField(default=0)
    dust = money_field(default=ZERO)
    suspected = money_field(null=True)
    suspected_at = models.DateTimeField(null=True)
    drift_since = models.DateTimeField(null=True)
    drift_expected = money_field(null=True)
    drift_found = money_field(null=True)

    class Meta:
        db_table = "risk_account_asset"
        constraints = [
            models.UniqueConstraint(fields=["account", "asset"], name="risk_account_asset_once"),
            models.CheckConstraint(
                condition=Q(suspected=None, suspected_at=None) | Q(suspected__isnull=False, suspected_at__isnull=False),
                name="risk_account_asset_suspected",
            ),
            models.CheckConstraint(
                condition=Q(drift_since=None, drift_expected=None, drift_found=None)
                | Q(drift_since__isnull=False, drift_expected__isnull=False, drift_found__isnull=False),
                name="risk_account_asset_drift",
            ),
        ]


class AccountMovement(models.Model):
    """A movement on the account that no order of the platform made: deposit, withdrawal, a foreign trade.

    `amount` is the change of the balance, fee included. `entry_id` is the exchange's ledger id. One of kind
    `accepted` is a difference that an operator accepted, whose name and reason are in `because`.
    """

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="movements")
    entry_id = models.CharField(max_length=40)
    kind = models.CharField(max_length=40)
    asset = models.CharField(max_length=20)
    amount = money_field()
    because = models.CharField(max_length=500, blank=True)
    moved_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    class Meta:
        db_table = "risk_account_movement"
        constraints = [models.UniqueConstraint(fields=["account", "entry_id"], name="risk_account_movement_once")]


class Allocation(models.Model):
    """A bot's share of an account.

    While a run is live, `quote_budget` is its budget and `quote_amount` the cash that it may still spend or that its
    open orders reserve. From the run's end the cash is unallocated again, except for what orders reserve that have not
    ended. `base_amount`, the coins, stays the bot's until it sells or gives them up.
    """

    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="allocations")
    pair = models.CharField(max_length=20)
    base_asset = models.CharField(max_length=20)
    quote_asset = models.CharField(max_length=20)
    quote_budget = money_field(null=True)
    quote_amount = money_field(default=ZERO)
    base_amount = money_field(default=ZERO)

    class Meta:
        db_table = "risk_allocation"
        constraints = [
            models.CheckConstraint(
                condition=Q(quote_amount__gte=0, base_amount__gte=0), name="risk_allocation_amounts"
            ),
            models.CheckConstraint(
                condition=Q(quote_budget=None) | Q(quote_budget__gt=0), name="risk_allocation_budget"
            ),
        ]
