from collections.abc import Callable, Container, Iterable, Mapping
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

from django.db import models, transaction
from django.db.models import F, Q

from apps.core.ids import new_id
from apps.core.money import money_field
from apps.core.terms import Side
from apps.trading.models.order_states import (
    ACTIVE_STATES,
    INITIAL_STATE,
    NEVER_SENT,
    RESTING_STATES,
    UNFILLED_STATES,
    IntentState,
    check_transition,
)
from apps.trading.models.runs import BotRun

ZERO = Decimal(0)

# A change of one of these is a step in the life of an order, and no step is silent.
ANNOUNCED_COLUMNS = frozenset({"state", "txid", "filled_volume", "evidence"})


class OrderKind(models.TextChoices):
    """Whether an order takes the market or rests on the order book."""

    TAKE = "take", "Limit, immediate or cancel: takes what there is up to its price, and nothing rests"
    REST = "rest", "Limit, good till cancelled"


class OrderIntentQuerySet(models.QuerySet["OrderIntent"]):
    """Refuses to write states past the table of transitions. Other columns may be updated as usual."""

    def update(self, **columns: Any) -> int:
        self._refuse_state(columns)
        return super().update(**columns)

    def bulk_update(self, objs: Iterable["OrderIntent"], fields: Iterable[str], batch_size: int | None = None) -> int:
        self._refuse_state(fields := list(fields))
        return super().bulk_update(objs, fields, batch_size)

    def bulk_create(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("Order intents are stored one by one: OrderIntent.save checks the state of each.")

    @staticmethod
    def _refuse_state(columns: Container[str]) -> None:
        if "state" in columns:
            raise TypeError("The state of an order is changed by OrderIntent.move_to, one order at a time.")


class OrderIntent(models.Model):
    """One attempt to place one order: stored before anything is sent, and sent at most once.

    `decision_id` identifies the strategy's decision. A further attempt at it needs proof that the earlier one was not
    placed; where it is an exit (`is_exit`), proof that the earlier one has ended. `cl_ord_id` is the client order id,
    one for each attempt; `txid` is the exchange order id, empty until the exchange names it. `command_id` is the
    command that asked for the order, if any. `evidence` lists what was observed of the order and when, oldest first.
    """

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(BotRun, on_delete=models.PROTECT, related_name="intents")
    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    credential_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    decision_id = models.CharField(max_length=32)
    command_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True, db_index=True)
    attempt = models.PositiveSmallIntegerField(default=1)
    cl_ord_id = models.CharField(max_length=18, unique=True)
    txid = models.CharField(max_length=40, blank=True)

    pair = models.CharField(max_length=20)
    side = models.CharField(max_length=4, choices=Side.choices)
    kind = models.CharField(max_length=4, choices=OrderKind.choices)
    price = money_field()
    volume = money_field()
    reason = models.CharField(max_length=200, blank=True)
    candle_at = models.DateTimeField(null=True)
    is_exit = models.BooleanField(default=False)

    state = models.CharField(max_length=12, choices=IntentState.choices, default=IntentState.PLANNED)
    state_code = models.CharField(max_length=80, blank=True)
    evidence: "models.JSONField[list[dict[str, Any]], list[dict[str, Any]]]" = models.JSONField(default=list)
    reserved_quote = money_field(default=ZERO)
    reserved_base = money_field(default=ZERO)
    filled_volume = money_field(default=ZERO)
    filled_cost = money_field(default=ZERO)
    filled_fee = money_field(default=ZERO)

    fence = models.BigIntegerField()
    planned_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    deadline = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    checks = models.PositiveSmallIntegerField(default=0)
    next_check_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = OrderIntentQuerySet.as_manager()

    class Meta:
        db_table = "trading_order_intent"
        verbose_name = "order"
        indexes = [
            models.Index(fields=["run"], condition=Q(state__in=ACTIVE_STATES), name="trading_intent_active_by_run"),
            models.Index(fields=["next_check_at"], condition=Q(state__in=ACTIVE_STATES), name="trading_intent_due"),
            models.Index(fields=["bot_id", "planned_at"], name="trading_intent_by_bot"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["decision_id", "attempt"], name="trading_intent_decision_attempt"),
            models.UniqueConstraint(
                fields=["decision_id"],
                condition=~Q(state=IntentState.NOT_PLACED) & ~Q(is_exit=True),
                name="trading_intent_one_order_a_decision",
            ),
            # An exit may be tried again, when the attempt before has provably ended.
            models.UniqueConstraint(
                fields=["decision_id"],
                condition=Q(state__in=ACTIVE_STATES),
                name="trading_intent_one_active_a_decision",
            ),
            models.CheckConstraint(
                condition=Q(is_exit=False) | Q(side=Side.SELL, command_id=None), name="trading_intent_exit_is_a_sale"
            ),
            models.UniqueConstraint(
                fields=["bot_id", "side"],
                condition=Q(state__in=ACTIVE_STATES),
                name="trading_intent_one_active_a_side",
            ),
            models.UniqueConstraint(
                fields=["credential_id", "txid"], condition=~Q(txid=""), name="trading_intent_txid"
            ),
            models.CheckConstraint(condition=Q(state__in=list(IntentState)), name="trading_intent_state"),
            models.CheckConstraint(condition=Q(side__in=list(Side)), name="trading_intent_side"),
            models.CheckConstraint(condition=Q(kind__in=list(OrderKind)), name="trading_intent_kind"),
            models.CheckConstraint(condition=Q(price__gt=0, volume__gt=0), name="trading_intent_terms"),
            models.CheckConstraint(
                condition=Q(
                    filled_volume__gte=0, filled_volume__lte=F("volume"), filled_cost__gte=0, filled_fee__gte=0
                ),
                name="trading_intent_filled_in_volume",
            ),
            models.CheckConstraint(
                condition=Q(reserved_quote__gte=0, reserved_base__gte=0), name="trading_intent_reserved"
            ),
            models.CheckConstraint(
                condition=Q(state__in=ACTIVE_STATES, ended_at=None)
                | (~Q(state__in=ACTIVE_STATES) & Q(ended_at__isnull=False, reserved_quote=0, reserved_base=0)),
                name="trading_intent_ended_holds_nothing",
            ),
            models.CheckConstraint(
                # Whole, or closed by the exchange a little short of it, which is said.
                condition=~Q(state=IntentState.FILLED)
                | Q(filled_volume=F("volume"))
                | (Q(filled_volume__gt=0) & ~Q(state_code="")),
                name="trading_intent_filled_is_whole",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=UNFILLED_STATES) | Q(filled_volume=0), name="trading_intent_unfilled"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[*RESTING_STATES, IntentState.FILLED]) | ~Q(txid=""),
                name="trading_intent_placed_has_txid",
            ),
            models.CheckConstraint(
                condition=Q(state__in=NEVER_SENT) | Q(sent_at__isnull=False, deadline__isnull=False),
                name="trading_intent_sent_has_deadline",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[IntentState.NOT_PLACED, IntentState.NEEDS_HUMAN]) | ~Q(evidence=[]),
                name="trading_intent_left_doubt_with_evidence",
            ),
        ]

    def save(self, *args: Any, announce: Callable[[Mapping[str, Any]], None] | None = None, **options: Any) -> None:
        """Raises IllegalTransition where the stored state may not become this object's state.

        `announce` is called with the stored columns of ANNOUNCED_COLUMNS, empty for a new row, in the transaction that
        writes the row. The stored row is read under its lock, so that an object which was loaded before another
        worker's change cannot undo it. Raises TypeError for a change of such a column that is not announced: services
        save with `order_save`.
        """
        written = options.get("update_fields")
        # The caller has opened the transaction that a failure takes back.
        with transaction.atomic(savepoint=announce is None):
            stored: Mapping[str, Any] = {}
            if written is None or ANNOUNCED_COLUMNS.intersection(written):
                stored = self._check_stored_state(is_new=bool(options.get("force_insert")))
                if announce is None and any(stored.get(name) != getattr(self, name) for name in ANNOUNCED_COLUMNS):
                    raise TypeError("A step of an order is saved by order_save, which announces it.")
            super().save(*args, **options)
            if announce is not None:
                announce(stored)

    def _check_stored_state(self, *, is_new: bool) -> Mapping[str, Any]:
        row = OrderIntent.objects.select_for_update().filter(pk=self.pk)
        stored: Mapping[str, Any] | None = None if is_new else row.values(*ANNOUNCED_COLUMNS).first()
        if stored is None:
            if self.state != INITIAL_STATE:
                check_transition("new", self.state, client_order_id=self.cl_ord_id)
            return {}
        if stored["state"] != self.state:
            check_transition(stored["state"], self.state, client_order_id=self.cl_ord_id)
        return stored

    def move_to(self, state: IntentState) -> None:
        """Changes the state, in memory; `order_save` stores it. The caller holds the row's lock.

        Raises IllegalTransition.
        """
        check_transition(self.state, state, client_order_id=self.cl_ord_id)
        self.state = state

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE_STATES

    @property
    def is_resting(self) -> bool:
        return self.state in RESTING_STATES

    @property
    def remaining(self) -> Decimal:
        left: Decimal = self.volume - self.filled_volume
        return left
