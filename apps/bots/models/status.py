"""Read models of bot status. Rows come from events alone and can be rebuilt from them.

Status messages and trades arrive by different brokers, so in any order. The sequence number of the bot's events (`seq`)
orders them. A row depends on the set of applied events only, not on the order of their arrival.
"""

from uuid import UUID

from django.db import models

from apps.core.money import money_field


class BotState(models.TextChoices):
    """Bots never report `starting` and `stopping`: these mean that a command is in progress."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    PAUSED = "paused"
    ERROR = "error"


REPORTED = [BotState.STOPPED, BotState.RUNNING, BotState.PAUSED, BotState.ERROR]


class RunEvent(models.Model):
    """A run event: a run began or ended. The newest run event of the latest run defines the bot's state."""

    event_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    seq = models.BigIntegerField()
    state = models.CharField(max_length=8, choices=[(state.value, state.label) for state in REPORTED])
    run_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    command_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    config_version = models.PositiveIntegerField(null=True)
    reason = models.TextField(default="")
    at = models.DateTimeField()

    class Meta:
        db_table = "bot_run_news"
        constraints = [
            models.UniqueConstraint(fields=["bot_id", "seq"], name="bot_run_news_seq"),
            models.CheckConstraint(condition=models.Q(state__in=REPORTED), name="bot_run_news_state"),
        ]


class BotStatus(models.Model):
    """Status and position P&L of a bot. Amounts are in the quote asset, volumes in the base asset.

    `position_cost` is the cost of the held volume, fees included. `quote_flow` is the net inflow of the quote asset,
    fees included. `realised_pnl` is after fees, at average cost. `released_cost` is the cost of coins that were given
    up. Each `..._seq` is the event that the fields come from.
    """

    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(db_index=True)
    last_seq = models.BigIntegerField(default=0)

    state = models.CharField(max_length=8, choices=BotState.choices, default=BotState.STOPPED)
    since = models.DateTimeField(null=True)
    run_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    run_started_at = models.DateTimeField(null=True)
    config_version = models.PositiveIntegerField(null=True)
    reason = models.TextField(default="")

    error_seq = models.BigIntegerField(default=0)
    error_code = models.TextField(default="")
    error_message = models.TextField(default="")
    error_at = models.DateTimeField(null=True)

    skip_seq = models.BigIntegerField(default=0)
    skip_code = models.TextField(default="")
    skip_message = models.TextField(default="")
    skip_at = models.DateTimeField(null=True)

    trade_seq = models.BigIntegerField(default=0)
    trades = models.PositiveIntegerField(default=0)
    last_trade_at = models.DateTimeField(null=True)
    base_asset = models.CharField(max_length=20, default="")
    quote_asset = models.CharField(max_length=20, default="")
    position_volume = money_field(default=0)
    position_cost = money_field(default=0)
    quote_flow = money_field(default=0)
    realised_pnl = money_field(default=0)
    fees = money_field(default=0)
    release_seq = models.BigIntegerField(default=0)
    released_cost = money_field(default=0)

    class Meta:
        db_table = "bot_status"
        verbose_name_plural = "bot statuses"
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=REPORTED), name="bot_status_state"),
            models.CheckConstraint(
                condition=models.Q(position_volume__gte=0, position_cost__gte=0, fees__gte=0),
                name="bot_status_amounts",
            ),
        ]
