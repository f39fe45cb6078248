"""Read models of fills. `volume` is in the base asset; `price`, `cost`, `fee` and profits in the quote asset."""

from uuid import UUID

from django.db import models
from django.db.models import Q

from apps.core.money import money_field
from apps.core.terms import Side


class BotTrade(models.Model):
    """A fill of a bot's order, and the bot's position after it.

    `realised_pnl` is of this fill, after fees; `realised_total` is that of all fills up to this one,
    and None in rows that a process of an older release wrote during an upgrade.
    """

    trade_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    seq = models.BigIntegerField()
    run_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    order_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    exchange_trade_id = models.CharField(max_length=64)
    mode = models.CharField(max_length=5)
    strategy = models.CharField(max_length=60)
    pair = models.CharField(max_length=20)
    side = models.CharField(max_length=4, choices=Side.choices)
    price = money_field()
    volume = money_field()
    cost = money_field()
    fee = money_field()
    realised_pnl = money_field(default=0)
    realised_total = money_field(null=True)
    position_volume = money_field(default=0)
    position_cost = money_field(default=0)
    market_time = models.DateTimeField(null=True)
    executed_at = models.DateTimeField()

    class Meta:
        db_table = "bot_trade"
        indexes = [
            models.Index(fields=["order_id"], name="bot_trade_of_order"),
            models.Index(fields=["bot_id", "executed_at"], name="bot_trade_by_time"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["bot_id", "seq"], name="bot_trade_seq"),
            models.CheckConstraint(condition=Q(side__in=Side.values), name="bot_trade_side"),
            models.CheckConstraint(condition=Q(volume__gt=0, price__gt=0), name="bot_trade_amounts"),
        ]


class PositionRelease(models.Model):
    """Coins that a bot gave up to its exchange account. `volume` is in the base asset."""

    release_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    seq = models.BigIntegerField()
    volume = money_field()
    at = models.DateTimeField()

    class Meta:
        db_table = "bot_position_release"
        constraints = [models.UniqueConstraint(fields=["bot_id", "seq"], name="bot_position_release_seq")]


class AccountTrade(models.Model):
    """A fill on an exchange account, of a bot's order or any other."""

    trade_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    credential_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    bot_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    order_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    exchange_trade_id = models.CharField(max_length=64)
    mode = models.CharField(max_length=5)
    pair = models.CharField(max_length=20)
    base_asset = models.CharField(max_length=20)
    quote_asset = models.CharField(max_length=20)
    side = models.CharField(max_length=4, choices=Side.choices)
    price = money_field()
    volume = money_field()
    cost = money_field()
    fee = money_field()
    executed_at = models.DateTimeField()

    class Meta:
        db_table = "account_trade"
        indexes = [
            models.Index(fields=["user_id", "-executed_at", "-trade_id"], name="account_trade_of_user"),
            models.Index(fields=["bot_id", "-executed_at", "-trade_id"], name="account_trade_of_bot"),
            models.Index(fields=["user_id", "pair", "-executed_at", "-trade_id"], name="account_trade_of_pair"),
            models.Index(fields=["user_id", "mode", "-executed_at", "-trade_id"], name="account_trade_of_mode"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(side__in=Side.values), name="account_trade_side"),
            models.CheckConstraint(condition=Q(volume__gt=0, price__gt=0), name="account_trade_amounts"),
        ]


class UserTrading(models.Model):
    """Summary of a user's trading. The row exists, with zero trades, from registration on."""

    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    registered_at = models.DateTimeField(null=True)
    trades = models.PositiveIntegerField(default=0)
    last_trade_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "user_trading"
        verbose_name_plural = "users' trading"
