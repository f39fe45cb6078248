"""Read models of orders, from the `bot.order.*` events. Volumes in the base asset, other amounts in the quote asset."""

from uuid import UUID

from django.db import models
from django.db.models import Q

from apps.core.money import money_field
from apps.core.terms import Side


class OrderState(models.TextChoices):
    """State of an order as its events say it; docs/orders.md has the legal transitions."""

    PLANNED = "planned"
    SENDING = "sending"
    OPEN = "open"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    NOT_PLACED = "not_placed"
    NEEDS_HUMAN = "needs_human"


# What became of the order is not known: an answer was lost, or a person has to look.
UNCLEAR_STATES = [OrderState.UNKNOWN.value, OrderState.NEEDS_HUMAN.value]


# Immediate or cancel, or good till cancelled.
ORDER_KINDS = [("take", "Take"), ("rest", "Rest")]


class BotOrder(models.Model):
    """A bot's order as its newest event (`seq` of the bot) tells it. `ended_at` is None while it may still be filled.

    `market_time` is the time of the candle that the bot decided on.
    """

    order_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    credential_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    run_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    seq = models.BigIntegerField()
    command_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    decision_id = models.CharField(max_length=32)
    attempt = models.PositiveSmallIntegerField()
    client_order_id = models.CharField(max_length=36)
    exchange_order_id = models.CharField(max_length=40, blank=True)
    mode = models.CharField(max_length=5)
    strategy = models.CharField(max_length=60)
    pair = models.CharField(max_length=20)
    side = models.CharField(max_length=4, choices=Side.choices)
    kind = models.CharField(max_length=4)
    price = money_field()
    volume = money_field()
    filled_volume = money_field()
    filled_cost = money_field()
    filled_fee = money_field()
    state = models.CharField(max_length=12, choices=OrderState.choices)
    code = models.CharField(max_length=80, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    market_time = models.DateTimeField(null=True)
    planned_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    deadline = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "bot_order"
        indexes = [
            models.Index(fields=["user_id", "-planned_at", "-order_id"], name="bot_order_of_user"),
            models.Index(fields=["bot_id", "-planned_at", "-order_id"], name="bot_order_of_bot"),
            models.Index(fields=["user_id", "state", "-planned_at", "-order_id"], name="bot_order_of_state"),
            models.Index(fields=["user_id", "pair", "-planned_at", "-order_id"], name="bot_order_of_pair"),
            models.Index(fields=["user_id", "mode", "-planned_at", "-order_id"], name="bot_order_of_mode"),
            models.Index(fields=["bot_id"], condition=Q(ended_at=None), name="bot_order_active"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(side__in=Side.values), name="bot_order_side"),
            models.CheckConstraint(condition=Q(state__in=OrderState.values), name="bot_order_state"),
            models.CheckConstraint(
                condition=Q(volume__gt=0, price__gt=0, filled_volume__gte=0), name="bot_order_terms"
            ),
        ]


class OrderStep(models.Model):
    """One event of an order: the state after it, and what was observed. `kind` is the event's type."""

    event_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    order_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    seq = models.BigIntegerField()
    kind = models.CharField(max_length=60)
    state = models.CharField(max_length=12, choices=OrderState.choices)
    code = models.CharField(max_length=80, blank=True)
    filled_volume = money_field()
    evidence = models.JSONField(default=list)
    at = models.DateTimeField()

    class Meta:
        db_table = "bot_order_step"
        constraints = [models.UniqueConstraint(fields=["order_id", "seq"], name="bot_order_step_seq")]
