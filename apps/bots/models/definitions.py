"""Definitions of bots, and the commands to them."""

from uuid import UUID

from django.db import models
from django.db.models import F, Q

from apps.core.ids import new_id
from apps.core.money import money_field
from apps.core.terms import Mode
from apps.messages.bots import LimitedBotConfig, RiskLimits


class Interval(models.IntegerChoices):
    """Minutes of a candle, as Kraken offers them (GET /0/public/OHLC, `interval`)."""

    MINUTE = 1, "1 minute"
    FIVE_MINUTES = 5, "5 minutes"
    QUARTER = 15, "15 minutes"
    HALF_HOUR = 30, "30 minutes"
    HOUR = 60, "1 hour"
    FOUR_HOURS = 240, "4 hours"
    DAY = 1440, "1 day"
    WEEK = 10080, "1 week"
    FIFTEEN_DAYS = 21600, "15 days"


class CommandKind(models.TextChoices):
    START = "start"
    PAUSE = "pause"
    STOP = "stop"
    FLATTEN = "flatten"
    TRIGGER_TRADE = "trigger_trade"

    @property
    def is_lifecycle(self) -> bool:
        return self is not CommandKind.TRIGGER_TRADE

    @property
    def strength(self) -> int:
        """Precedence of ending commands: a stronger one may supersede a weaker one in progress."""
        return _STRENGTH[self]


_STRENGTH = {
    CommandKind.TRIGGER_TRADE: 0,
    CommandKind.START: 0,
    CommandKind.PAUSE: 1,
    CommandKind.STOP: 2,
    CommandKind.FLATTEN: 3,
}
LIFECYCLE = [kind.value for kind in CommandKind if kind.is_lifecycle]


class Bot(models.Model):
    """Definition of a bot: key, pair, strategy, budget and limits. `quote_budget` is in the pair's quote asset.

    `risk` has the fields of RiskLimits; the default limits where it is empty.

    A trigger refuses changes of owner and mode, and of key and pair once a start was asked for: orders, coins, budget
    and profit of a bot belong to one account and one market.
    """

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    name = models.CharField(max_length=80)
    credential_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    mode = models.CharField(max_length=5, choices=Mode.choices)
    pair = models.CharField(max_length=20)
    strategy = models.CharField(max_length=60)
    parameters = models.JSONField(default=dict)
    interval_minutes = models.PositiveIntegerField(choices=Interval.choices)
    quote_budget = money_field()
    risk = models.JSONField(default=dict)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "bot"
        indexes = [models.Index(fields=["user_id", "-id"], condition=Q(deleted_at=None), name="bot_of_user")]
        constraints = [
            models.CheckConstraint(condition=Q(mode__in=Mode.values), name="bot_mode"),
            models.CheckConstraint(condition=Q(interval_minutes__in=Interval.values), name="bot_interval"),
            models.CheckConstraint(condition=Q(quote_budget__gt=0), name="bot_budget_is_positive"),
            models.CheckConstraint(condition=Q(version__gte=1), name="bot_version"),
            models.CheckConstraint(condition=~Q(name=""), name="bot_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def config(self) -> LimitedBotConfig:
        """The definition in the form that a StartLimitedBot command carries."""
        return LimitedBotConfig(
            risk=self.limits,
            name=self.name,
            mode=Mode(self.mode),
            credential_id=self.credential_id,
            pair=self.pair,
            strategy=self.strategy,
            parameters=self.parameters,
            interval_minutes=self.interval_minutes,
            quote_budget=self.quote_budget,
            version=self.version,
        )

    @property
    def limits(self) -> RiskLimits:
        return RiskLimits.model_validate(self.risk)


class BotCommand(models.Model):
    """A command to a bot. The worker's execution row has its progress.

    A lifecycle command is open until the next one is given; a unique constraint allows one open lifecycle command per
    bot, however many requests are concurrent. A command superseded while in progress names its successor.
    """

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    bot = models.ForeignKey(Bot, on_delete=models.PROTECT, related_name="commands")
    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    kind = models.CharField(max_length=14, choices=CommandKind.choices)
    arguments = models.JSONField(default=dict)
    requested_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    superseded_by = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="supersedes")

    class Meta:
        db_table = "bot_command"
        indexes = [models.Index(fields=["bot", "-requested_at"], name="bot_command_of_bot")]
        constraints = [
            models.UniqueConstraint(
                fields=["bot"],
                condition=Q(kind__in=LIFECYCLE, closed_at=None),
                name="bot_command_one_open_lifecycle",
            ),
            models.CheckConstraint(condition=Q(kind__in=CommandKind.values), name="bot_command_kind"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("requested_at")), name="bot_command_expires_later"),
            models.CheckConstraint(
                condition=Q(superseded_by=None) | Q(closed_at__isnull=False), name="bot_command_superseded_is_closed"
            ),
        ]
