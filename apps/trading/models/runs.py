from functools import cached_property
from uuid import UUID

from django.db import models
from django.db.models import Q

from apps.core.ids import new_id
from apps.core.terms import Mode
from apps.messages.bots import LimitedBotConfig


class RunState(models.TextChoices):
    """State of a run. Only `running` makes decisions; `pausing`, `stopping` and `flattening` wind the run up."""

    RUNNING = "running"
    PAUSING = "pausing"
    STOPPING = "stopping"
    FLATTENING = "flattening"
    STOPPED = "stopped"
    ERROR = "error"

    @property
    def is_live(self) -> bool:
        return self not in (RunState.STOPPED, RunState.ERROR)


LIVE_RUNS = [state.value for state in RunState if state.is_live]


class BotRun(models.Model):
    """One run of a bot, from its start command to its stop, with the bot's definition at the start.

    One worker at a time holds the lease. `fence` is its fencing token: it grows with every holder, and every write of a
    holder checks it.
    """

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(db_index=True)
    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    credential_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(db_index=True)
    mode = models.CharField(max_length=5)
    pair = models.CharField(max_length=20)
    interval_minutes = models.PositiveIntegerField(help_text="Of the candles that it decides on.")
    config = models.JSONField()
    state = models.CharField(max_length=10, choices=RunState.choices, default=RunState.RUNNING)
    start_command_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(unique=True)
    stop_command_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True)
    next_tick_at = models.DateTimeField()
    # When a scheduler took it last
    ticked_at = models.DateTimeField(null=True)
    # A tick has done all there was to do: the next candle or an order of the run makes it due, before `next_tick_at`.
    is_idle = models.BooleanField(default=False)

    # The last candle it decided on, and the reasons of the last skipped trade and the last failure. `refusals` counts
    # placements that the exchange refused in a row: entries pause longer after each.
    decided_candle_at = models.DateTimeField(null=True)
    entries_held_until = models.DateTimeField(null=True)
    refusals = models.PositiveSmallIntegerField(default=0)
    skip_reason = models.CharField(max_length=80, blank=True)
    trouble_code = models.CharField(max_length=80, blank=True)
    trouble_since = models.DateTimeField(null=True)
    trouble_announced = models.BooleanField(default=False)

    # Correlation and causation of ticks, so that a fill can be traced to the request that started the bot.
    correlation_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    started_event_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()

    lease_owner = models.CharField(max_length=200, blank=True)
    lease_until = models.DateTimeField(null=True)
    fence = models.BigIntegerField(default=0)

    class Meta:
        db_table = "trading_bot_run"
        indexes = [
            models.Index(fields=["next_tick_at"], condition=Q(state="running"), name="trading_bot_run_due"),
            models.Index(
                fields=["mode", "pair", "interval_minutes"], condition=Q(state="running"), name="trading_bot_run_series"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["bot_id"], condition=Q(state__in=LIVE_RUNS), name="trading_bot_run_one_live_a_bot"
            ),
            models.CheckConstraint(condition=Q(state__in=list(RunState)), name="trading_bot_run_state"),
            models.CheckConstraint(condition=Q(mode__in=list(Mode)), name="trading_bot_run_mode"),
            models.CheckConstraint(
                condition=Q(state__in=LIVE_RUNS, stopped_at=None)
                | (~Q(state__in=LIVE_RUNS) & Q(stopped_at__isnull=False)),
                name="trading_bot_run_stopped_at",
            ),
            models.CheckConstraint(
                condition=Q(lease_owner="", lease_until=None) | (~Q(lease_owner="") & Q(lease_until__isnull=False)),
                name="trading_bot_run_lease",
            ),
        ]

    @cached_property
    def definition(self) -> LimitedBotConfig:
        """The bot as it was when it was started; with the default limits where it had none of its own."""
        return LimitedBotConfig.model_validate({"risk": {}} | self.config)

    @property
    def is_running(self) -> bool:
        return self.state == RunState.RUNNING
