"""Bots: definitions, states, commands with their receipts, timeline and figures."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.console.api_client.alerts import Halt
from apps.console.api_client.base import Answer, Api
from apps.console.api_client.lists import Page, given
from apps.console.api_client.orders import Order

BOTS = "bot"


class Notice(Answer):
    code: str
    message: str
    at: datetime


class UnderWay(Answer):
    id: UUID
    kind: str


class UnclearOrder(Answer):
    order_id: UUID
    client_order_id: str
    side: str
    state: str
    code: str
    changed_at: datetime


class Status(Answer):
    """What the bot reported last. Amounts in the quote asset, volumes in the base asset."""

    bot_id: UUID
    state: str
    since: datetime | None
    run_started_at: datetime | None
    config_version: int | None
    reason: str
    orders: list[Order] = []
    unclear_orders: list[UnclearOrder]
    halts: list[Halt]
    command: UnderWay | None
    last_error: Notice | None
    last_skip: Notice | None
    trades: int
    last_trade_at: datetime | None
    base_asset: str
    quote_asset: str
    position_volume: Decimal
    dust: Decimal
    realised_pnl: Decimal
    fees: Decimal


class Bot(Answer):
    """A definition. `quote_budget` is in the pair's quote asset."""

    id: UUID
    name: str
    credential_id: UUID
    mode: str
    pair: str
    strategy: str
    parameters: dict[str, Any]
    interval_minutes: int
    quote_budget: Decimal
    risk: dict[str, Any]
    version: int
    state: str
    created_at: datetime
    updated_at: datetime
    status: Status | None = None


class OrderEnd(Answer):
    client_order_id: str
    exchange_order_id: str
    side: str
    state: str
    code: str
    volume: Decimal
    filled_volume: Decimal
    average_price: Decimal | None
    fee: Decimal
    sent_at: datetime | None
    ended_at: datetime | None


class Result(Answer):
    outcome: str
    is_final: bool
    code: str
    message: str
    filled_volume: Decimal | None = None
    average_price: Decimal | None = None
    fee: Decimal | None = None
    left_volume: Decimal | None = None
    orders: list[OrderEnd] = []


class Receipt(Answer):
    """A command and how far it got."""

    id: UUID
    bot_id: UUID
    kind: str
    arguments: dict[str, Any]
    state: str
    reason: str
    incomplete: bool
    result: Result | None
    attempts: int
    requested_at: datetime
    begun_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime
    superseded_by: UUID | None

    @property
    def is_over(self) -> bool:
        """Whether nothing of it changes any more: it has ended, and so has, with proof, each of its orders."""
        if self.state in ("failed", "dropped"):
            return True
        return self.state == "done" and (self.result is None or self.result.is_final)

    @property
    def step(self) -> int:
        """How far it got, from 1 (requested) to 4 (over)."""
        return 4 if self.is_over else {"requested": 1, "delivered": 2}.get(self.state, 3)


class NamedReceipt(Receipt):
    """A receipt among those of other bots."""

    bot_name: str
    mode: str


class TimelineEntry(Answer):
    event_id: UUID
    type: str
    title: str
    aggregate: str
    seq: int
    occurred_at: datetime
    correlation_id: UUID
    caused_by: UUID | None
    payload: dict[str, Any]


class Timeline(Answer):
    """`before` is the cursor of what is older; None where nothing is."""

    results: list[TimelineEntry]
    before: int | None


class EquityPoint(Answer):
    at: datetime
    profit: Decimal
    equity: Decimal


class Performance(Answer):
    """Amounts in the quote asset. Null where there is no market price."""

    pair: str
    base_asset: str
    quote_asset: str
    quote_budget: Decimal
    trades: int
    sales: int
    profitable_sales: int
    position_volume: Decimal
    average_price: Decimal | None
    last_price: Decimal | None
    last_price_as_of: datetime | None
    realised_pnl: Decimal
    unrealised_pnl: Decimal | None
    fees: Decimal
    equity: Decimal | None
    equity_curve: list[EquityPoint]


class Key(Answer):
    """A key that a bot can trade with."""

    id: UUID
    label: str
    mode: str
    state: str


def keys(api: Api) -> list[Key]:
    return Page[Key].read(api.get("kraken/keys", given(limit=50))).results


def bots(api: Api, *, limit: int = 100, cursor: str = "") -> Page[Bot]:
    """With their states, so that a list of any length is one call."""
    return Page[Bot].read(api.get(BOTS, given(include="status", limit=limit, cursor=cursor)))


def bot(api: Api, bot_id: UUID) -> Bot:
    return Bot.model_validate(api.get(f"{BOTS}/{bot_id}"))


def status(api: Api, bot_id: UUID) -> Status:
    return Status.model_validate(api.get(f"{BOTS}/{bot_id}/status"))


def performance(api: Api, bot_id: UUID) -> Performance:
    return Performance.model_validate(api.get(f"{BOTS}/{bot_id}/performance"))


def timeline(api: Api, bot_id: UUID, **query: Any) -> Timeline:
    """`query`: `before`, `limit`, or `command_id` for all that one command set off, oldest first."""
    answer = api.get(f"{BOTS}/{bot_id}/timeline", given(**query))
    entries = [TimelineEntry.model_validate(each) for each in answer["results"]]
    return Timeline(results=entries, before=entries[-1].seq if answer["next"] else None)


def receipts(api: Api, bot_id: UUID, *, limit: int = 5, cursor: str = "") -> Page[Receipt]:
    return Page[Receipt].read(api.get(f"{BOTS}/{bot_id}/commands", given(limit=limit, cursor=cursor)))


def receipts_since(api: Api, since: str) -> list[NamedReceipt]:
    """Of all bots, newest first: what was asked then or later."""
    return Page[NamedReceipt].read(api.get(f"{BOTS}/commands", given(since=since, limit=200))).results


def create(api: Api, definition: dict[str, Any], *, key: str) -> Bot:
    return Bot.model_validate(api.post(BOTS, definition, key=key))


def change(api: Api, bot_id: UUID, changes: dict[str, Any], *, key: str) -> Bot:
    return Bot.model_validate(api.patch(f"{BOTS}/{bot_id}", changes, key=key))


def clone(api: Api, bot_id: UUID, changes: dict[str, Any], *, key: str) -> Bot:
    return Bot.model_validate(api.post(f"{BOTS}/{bot_id}/clone", changes, key=key))


def command(api: Api, bot_id: UUID, verb: str, body: dict[str, Any], *, key: str) -> Receipt:
    """`verb` is the last part of the address: start, stop, trigger-trade."""
    return Receipt.model_validate(api.post(f"{BOTS}/{bot_id}/{verb}", body, key=key))


def stop_all(api: Api, *, manner: str, key: str) -> list[Receipt]:
    answer = api.post(f"{BOTS}/stop-all", {"manner": manner}, key=key)
    return [Receipt.model_validate(each) for each in answer["results"]]


def delete(api: Api, bot_id: UUID, *, abandon: bool, key: str) -> None:
    """Raises ApiRefused while the bot runs or holds coins; `abandon` gives the coins up."""
    query = given(abandon="true" if abandon else None)
    api.delete(f"{BOTS}/{bot_id}", params=query, key=key)
