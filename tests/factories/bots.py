"""Bots, what they publish, and a trader who calls the kraken service."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import factory
from django.utils import timezone
from factory.declarations import LazyFunction, SelfAttribute, Sequence
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from apps.bots.models import Bot
from apps.core.context import new_traceparent
from apps.core.identity.principal import Principal, Role
from apps.core.ids import new_id
from apps.messages.base import Event, Status
from apps.messages.bots import BotError, BotStarted, BotStopped
from apps.messages.envelope import Envelope
from apps.messages.orders import (
    BotOrderEnded,
    BotOrderFilled,
    BotOrderNeedsPerson,
    BotOrderOpened,
    BotOrderPartlyFilled,
    BotOrderPlanned,
    BotOrderSent,
    BotOrderUnknown,
    OrderFacts,
)
from apps.messages.trading import BotTradeExecuted, BotTradeSkipped, PositionAbandoned, TradeExecuted

ORDER_EVENT_OF_STATE: dict[str, type[OrderFacts]] = {
    "planned": BotOrderPlanned,
    "sending": BotOrderSent,
    "open": BotOrderOpened,
    "partial": BotOrderPartlyFilled,
    "filled": BotOrderFilled,
    "unknown": BotOrderUnknown,
    "needs_human": BotOrderNeedsPerson,
}
START_OF_STORY = datetime(2026, 3, 1, 12, tzinfo=UTC)


class BotFactory(factory.django.DjangoModelFactory[Bot]):
    class Meta:
        model = Bot

    user_id = LazyFunction(uuid4)  # type: ignore[no-untyped-call]
    name = Sequence(lambda number: f"Bot {number}")  # type: ignore[no-untyped-call]
    credential_id = LazyFunction(uuid4)  # type: ignore[no-untyped-call]
    mode = "paper"
    pair = "XBTUSD"
    strategy = "sma_cross"
    parameters = {"fast": 5, "slow": 20, "enter_on_start": True}
    interval_minutes = 60
    quote_budget = Decimal(1000)
    created_at = LazyFunction(timezone.now)  # type: ignore[no-untyped-call]
    updated_at = SelfAttribute("created_at")  # type: ignore[no-untyped-call]


def principal(user_id: UUID, *roles: Role, **claims: Any) -> Principal:
    """What the kraken service makes of a good token with these claims besides."""
    token = AccessToken()
    token["user_id"] = str(user_id)
    token["roles"] = [str(role) for role in roles or (Role.TRADER,)]
    for name, value in claims.items():
        token[name] = value
    return Principal(token)


class TraderClient(APIClient):
    """A trader who is logged in and sends JSON. `claims` are those of the token besides, such as a step-up."""

    def __init__(self, user_id: UUID | None = None, *roles: Role, **claims: Any) -> None:
        super().__init__()
        self.default_format = "json"
        self.user_id = user_id or uuid4()
        self.force_authenticate(principal(self.user_id, *roles, **claims))  # type: ignore[arg-type]


class Story:
    """What a bot published, in its own order: each call appends an event and gives its envelope."""

    def __init__(self, *, bot_id: UUID | None = None, user_id: UUID | None = None, pair: str = "XBTUSD") -> None:
        self.bot_id = bot_id or uuid4()
        self.user_id = user_id or uuid4()
        self.credential_id = uuid4()
        self.pair = pair
        self.run_id = uuid4()
        self.envelopes: list[Envelope] = []
        self._seqs: dict[UUID, int] = {}

    @property
    def now(self) -> datetime:
        return START_OF_STORY + timedelta(minutes=len(self.envelopes))

    def tell(self, message: Event | Status) -> Envelope:
        seq = self._seqs[message.aggregate_id] = self._seqs.get(message.aggregate_id, 0) + 1
        envelope = Envelope(
            event_id=new_id(),
            event_type=message.declaration.name,
            schema_version=message.declaration.version,
            aggregate_type=message.declaration.aggregate,
            aggregate_id=message.aggregate_id,
            aggregate_seq=seq,
            occurred_at=self.now,
            user_id=self.user_id,
            correlation_id=uuid4(),
            causation_id=None,
            traceparent=new_traceparent(),
            payload=message.canonical_bytes(),
        )
        self.envelopes.append(envelope)
        return envelope

    def started(self, *, run_id: UUID | None = None, version: int = 1, command_id: UUID | None = None) -> Envelope:
        self.run_id = run_id or uuid4()
        return self.tell(
            BotStarted(
                bot_id=self.bot_id,
                user_id=self.user_id,
                run_id=self.run_id,
                command_id=command_id,
                config_version=version,
                started_at=self.now,
            )
        )

    def stopped(
        self, *, manner: Any = "stop", run_id: UUID | None = None, open_orders: tuple[str, ...] = ()
    ) -> Envelope:
        return self.tell(
            BotStopped(
                bot_id=self.bot_id,
                user_id=self.user_id,
                run_id=run_id or self.run_id,
                manner=manner,
                reason="Asked for.",
                open_orders=open_orders,
                stopped_at=self.now,
            )
        )

    def failed(self, *, is_final: bool, run_id: UUID | None = None, code: str = "exchange_down") -> Envelope:
        return self.tell(
            BotError(
                bot_id=self.bot_id,
                user_id=self.user_id,
                run_id=run_id or self.run_id,
                code=code,
                message="The exchange does not answer.",
                is_final=is_final,
                failed_at=self.now,
            )
        )

    def skipped(self, *, code: str = "budget_spent") -> Envelope:
        return self.tell(
            BotTradeSkipped(
                bot_id=self.bot_id,
                run_id=self.run_id,
                user_id=self.user_id,
                pair=self.pair,
                side="buy",
                code=code,
                message="The budget is spent.",
                skipped_at=self.now,
            )
        )

    def traded(
        self, side: Any, *, volume: str = "0.01", price: str = "10000", fee: str = "0.26", order_id: UUID | None = None
    ) -> Envelope:
        fill = self._fill(side, volume, price, fee)
        if order_id is not None:
            fill["order_id"] = order_id
        return self.tell(BotTradeExecuted(**fill, run_id=self.run_id, strategy="sma_cross"))

    def abandoned(self, *, volume: str = "0.01") -> Envelope:
        return self.tell(
            PositionAbandoned(
                bot_id=self.bot_id,
                user_id=self.user_id,
                credential_id=self.credential_id,
                release_id=uuid4(),
                pair=self.pair,
                base_asset="XBT",
                volume=Decimal(volume),
                reason="bot_deleted",
                abandoned_at=self.now,
            )
        )

    def account_traded(self, side: Any, *, volume: str = "0.01", price: str = "10000", fee: str = "0.26") -> Envelope:
        return self.tell(TradeExecuted(**self._fill(side, volume, price, fee)))

    def order(self, state: str, *, order_id: UUID, event: type[OrderFacts] | None = None, **facts: Any) -> Envelope:
        """A step of an order of the bot; without `event`, the one of the state."""
        told: dict[str, Any] = {
            "bot_id": self.bot_id,
            "run_id": self.run_id,
            "user_id": self.user_id,
            "credential_id": self.credential_id,
            "order_id": order_id,
            "decision_id": order_id.hex,
            "attempt": 1,
            "client_order_id": f"mk{order_id.hex[-16:]}",
            "exchange_order_id": "" if state in ("planned", "sending", "unknown") else "OABC",
            "mode": "paper",
            "strategy": "sma_cross",
            "pair": self.pair,
            "side": "buy",
            "kind": "rest",
            "price": Decimal(10000),
            "volume": Decimal("0.02"),
            "filled_volume": Decimal(0),
            "filled_cost": Decimal(0),
            "filled_fee": Decimal(0),
            "state": state,
            "evidence": ({"at": self.now.isoformat(), "source": state},),
            "planned_at": START_OF_STORY,
            "ended_at": self.now if state in ("filled", "canceled", "expired", "rejected", "not_placed") else None,
            "changed_at": self.now,
        }
        make: Any = event or ORDER_EVENT_OF_STATE.get(state, BotOrderEnded)
        return self.tell(make(**(told | facts)))

    def _fill(self, side: str, volume: str, price: str, fee: str) -> dict[str, Any]:
        return {
            "bot_id": self.bot_id,
            "user_id": self.user_id,
            "credential_id": self.credential_id,
            "trade_id": uuid4(),
            "order_id": uuid4(),
            "exchange_trade_id": f"T{uuid4().hex[:12]}",
            "mode": "paper",
            "pair": self.pair,
            "base_asset": "XBT",
            "quote_asset": "USD",
            "side": side,
            "price": Decimal(price),
            "volume": Decimal(volume),
            "cost": Decimal(price) * Decimal(volume),
            "fee": Decimal(fee),
            "executed_at": self.now,
        }
