"""Records what the exchange reports of an order: new fills, then the order's state.

The order, its fills, the ledger entries, the position and the events are one transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.core.money import plain
from apps.core.terms import Side
from apps.events.store.publish import publish
from apps.exchange.types import ExchangeOrder, ExchangeTrade, OrderStatus
from apps.messages.trading import BotTradeExecuted, TradeExecuted
from apps.trading.errors import ContradictoryEvidence, UnbookableFill
from apps.trading.ledger import postings_of
from apps.trading.models.ledger import Fill, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from apps.trading.services.orders.allocations import account_hold, position_follow
from apps.trading.services.orders.announcements import announce_later, order_as_stored, order_save
from apps.trading.services.orders.positions import position_get_for_update, reservation_set
from apps.trading.services.orders.postings import postings_store

ENDS = {
    OrderStatus.CLOSED: IntentState.FILLED,
    OrderStatus.CANCELED: IntentState.CANCELED,
    OrderStatus.EXPIRED: IntentState.EXPIRED,
}
# The reason of an order that the exchange closed short of its volume without giving one.
CLOSED_SHORT = "closed_short"


def order_record(
    *, intent_id: UUID, order: ExchangeOrder, trades: Sequence[ExchangeTrade], now: datetime
) -> OrderIntent:
    """Records the trades that are not recorded yet, and the order's end once every executed part is recorded.

    Idempotent: the same, older or newer answers of the exchange may follow. Raises ContradictoryEvidence where the
    answer cannot be about this order, in whole or in part; the trades that are proved to be its own are recorded all
    the same.
    """
    intent, contradiction = _record(intent_id, order, trades, now)
    if contradiction is not None:
        # Raised after the commit: a contradiction never takes back what is booked.
        raise contradiction
    return intent


@transaction.atomic
def _record(
    intent_id: UUID, order: ExchangeOrder, trades: Sequence[ExchangeTrade], now: datetime
) -> tuple[OrderIntent, ContradictoryEvidence | None]:
    intent = OrderIntent.objects.select_related("run").get(id=intent_id)
    position = position_get_for_update(bot_id=intent.bot_id, credential_id=intent.credential_id, pair=intent.pair)
    intent = OrderIntent.objects.select_for_update(of=["self"]).select_related("run").get(id=intent_id)
    _check(intent, order)
    before = order_as_stored(intent)
    account = account_hold(intent.run)
    base, spent, reserved = position.base_volume, position.quote_spent, position.quote_reserved

    known = set(intent.fills.values_list("exchange_trade_id", flat=True))
    contradiction = None
    for trade in sorted(trades, key=lambda trade: (trade.executed_at, trade.trade_id)):
        if trade.trade_id not in known:
            contradiction = _record_trade(intent, position, order, trade, now) or contradiction
    if intent.is_resting and contradiction is None:
        # An order in needs_human is left to manual resolution; its fills are recorded all the same.
        contradiction = _settle(intent, order, now)
    reservation_set(position, intent, now=now)
    position.save()
    order_save(intent, now=now, since=before)
    if (base, spent, reserved) != (position.base_volume, position.quote_spent, position.quote_reserved):
        changes = {position.base_asset: position.base_volume - base, position.quote_asset: spent - position.quote_spent}
        position_follow(account, intent.run, position, changes=changes)
    return intent, contradiction


def _check(intent: OrderIntent, order: ExchangeOrder) -> None:
    if order.exchange_order_id != intent.txid or order.side.value != intent.side or order.volume != intent.volume:
        raise ContradictoryEvidence(
            f"The exchange's order {order.exchange_order_id} has other terms than {intent.cl_ord_id}.",
            client_order_id=intent.cl_ord_id,
        )


def _record_trade(
    intent: OrderIntent, position: Position, order: ExchangeOrder, trade: ExchangeTrade, now: datetime
) -> ContradictoryEvidence | None:
    """Records one trade, or returns why it cannot be recorded."""
    if trade.exchange_order_id != order.exchange_order_id or trade.side != order.side:
        return ContradictoryEvidence(
            f"The exchange gave trades of another order for {order.exchange_order_id}.",
            client_order_id=intent.cl_ord_id,
        )
    if trade.volume > intent.remaining:
        return ContradictoryEvidence(
            f"The exchange gave more trades for {order.exchange_order_id} than were ordered.",
            client_order_id=intent.cl_ord_id,
        )
    try:
        # A savepoint: what the database refuses of one trade takes nothing of the others with it.
        with transaction.atomic():
            _record_fill(intent, position, trade, now)
            reservation_set(position, intent, now=now)
            position.save()
            # Announced with the order's state, when all trades of the answer are recorded.
            intent.save(announce=announce_later)
    except IntegrityError as error:
        position.refresh_from_db()
        intent.refresh_from_db()
        return UnbookableFill(str(error).splitlines()[0], client_order_id=intent.cl_ord_id)
    return None


def _record_fill(intent: OrderIntent, position: Position, trade: ExchangeTrade, now: datetime) -> None:
    fill = Fill.objects.create(
        intent=intent,
        bot_id=intent.bot_id,
        credential_id=intent.credential_id,
        exchange_trade_id=trade.trade_id,
        price=trade.price,
        volume=trade.volume,
        cost=trade.cost,
        fee=trade.fee,
        executed_at=trade.executed_at,
        recorded_at=now,
    )
    postings = postings_of(
        side=intent.side,
        volume=trade.volume,
        cost=trade.cost,
        fee=trade.fee,
        base_asset=position.base_asset,
        quote_asset=position.quote_asset,
    )
    postings_store(postings, cause=fill, now=now)
    intent.filled_volume += trade.volume
    intent.filled_cost += trade.cost
    intent.filled_fee += trade.fee
    sign = 1 if intent.side == Side.BUY else -1
    position.base_volume += sign * trade.volume
    position.quote_spent += sign * trade.cost + trade.fee
    position.quote_fees += trade.fee
    _announce(intent.run, intent, position, fill, now)


def _settle(intent: OrderIntent, order: ExchangeOrder, now: datetime) -> ContradictoryEvidence | None:
    """Moves the order's state. It ends only with all executed parts recorded: trades may become visible late.

    Kraken closes an order that is a lot or two short of its volume, for the reason "Insignificant volume remaining":
    it ends as filled with what was executed.
    """
    has_all_fills = intent.filled_volume >= order.executed_volume
    if order.status.is_live or not has_all_fills:
        if intent.filled_volume and intent.state == IntentState.OPEN:
            intent.move_to(IntentState.PARTIAL)
        return None
    if order.status is OrderStatus.CLOSED and not intent.filled_volume:
        return ContradictoryEvidence(
            f"The exchange calls {order.exchange_order_id} closed with nothing of {plain(intent.volume)} executed.",
            client_order_id=intent.cl_ord_id,
        )
    is_whole = intent.filled_volume == intent.volume
    intent.move_to(IntentState.FILLED if is_whole else ENDS[order.status])
    is_short = intent.state == IntentState.FILLED and not is_whole
    intent.state_code = (order.reason or (CLOSED_SHORT if is_short else ""))[:80]
    intent.ended_at = now
    intent.next_check_at = None
    return None


def _announce(run: BotRun, intent: OrderIntent, position: Position, fill: Fill, now: datetime) -> None:
    # Lock order of every writer: the bot's stream first, the credential's second.
    publish(
        BotTradeExecuted(
            bot_id=intent.bot_id,
            run_id=run.id,
            user_id=run.user_id,
            credential_id=intent.credential_id,
            trade_id=fill.id,
            order_id=intent.id,
            exchange_trade_id=fill.exchange_trade_id,
            mode=run.definition.mode,
            strategy=run.definition.strategy,
            pair=intent.pair,
            base_asset=position.base_asset,
            quote_asset=position.quote_asset,
            side=Side(intent.side),
            price=fill.price,
            volume=fill.volume,
            cost=fill.cost,
            fee=fill.fee,
            market_time=intent.candle_at,
            executed_at=fill.executed_at,
        ),
        now=now,
    )
    publish(
        TradeExecuted(
            credential_id=intent.credential_id,
            user_id=run.user_id,
            trade_id=fill.id,
            order_id=intent.id,
            exchange_trade_id=fill.exchange_trade_id,
            bot_id=intent.bot_id,
            mode=run.definition.mode,
            pair=intent.pair,
            base_asset=position.base_asset,
            quote_asset=position.quote_asset,
            side=Side(intent.side),
            price=fill.price,
            volume=fill.volume,
            cost=fill.cost,
            fee=fill.fee,
            executed_at=fill.executed_at,
        ),
        now=now,
    )
