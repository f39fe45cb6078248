"""Rows in Kraken's response format. Source: recorded answers of its private endpoints."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from apps.paper.engine.money import EXACT, fixed
from apps.paper.engine.orders import OrderType, Status
from apps.paper.engine.rules import OrderTerms
from apps.paper.instruments import ASSETS, CATALOGUE, Pair
from apps.paper.models import LedgerEntry, Order, Trade


def seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0


def _whole_seconds(moment: datetime | None) -> int:
    return int(moment.timestamp()) if moment else 0


def sentence(pair: Pair, side: str, kind: str, volume: Decimal, limit: Decimal | None) -> str:
    """``buy 0.10000000 XBTUSD @ limit 50000.0``"""
    what = f"{side} {fixed(volume, pair.lot_decimals)} {pair.altname} @ {kind}"
    return what if limit is None else f"{what} {fixed(limit, pair.pair_decimals)}"


def terms_sentence(terms: OrderTerms) -> str:
    return sentence(terms.pair, terms.side.value, terms.kind.value, terms.volume, terms.limit)


def order_sentence(order: Order) -> str:
    return sentence(CATALOGUE[order.pair], order.side, order.kind, order.volume, order.limit_price)


def order_body(order: Order, trade_txids: Sequence[str] | None = None) -> dict[str, Any]:
    pair = CATALOGUE[order.pair]
    body: dict[str, Any] = {
        "refid": None,
        "userref": order.userref or 0,
        "status": order.status,
        "opentm": seconds(order.opened_at),
        "starttm": 0,
        "expiretm": _whole_seconds(order.expires_at),
        "descr": {
            "pair": pair.altname,
            "type": order.side,
            "ordertype": order.kind,
            "price": fixed(order.limit_price, pair.pair_decimals) if order.limit_price is not None else "0",
            "price2": "0",
            "leverage": "none",
            "order": order_sentence(order),
            "close": "",
        },
        "vol": fixed(order.volume, pair.lot_decimals),
        "vol_exec": fixed(order.filled, pair.lot_decimals),
        "cost": fixed(order.cost, pair.cost_decimals),
        "fee": fixed(order.fee, pair.cost_decimals),
        "price": _average_price(order, pair),
        "stopprice": fixed(Decimal(0), pair.cost_decimals),
        "limitprice": fixed(Decimal(0), pair.cost_decimals),
        "misc": _misc(order),
        "oflags": order.oflags,
        "reason": order.reason,
    }
    if order.cl_ord_id is not None:
        body["cl_ord_id"] = order.cl_ord_id
    if order.closed_at is not None:
        body["closetm"] = seconds(order.closed_at)
    if trade_txids:
        body["trades"] = list(trade_txids)
    return body


def _average_price(order: Order, pair: Pair) -> str:
    if not order.filled:
        return fixed(Decimal(0), pair.cost_decimals)
    return fixed(EXACT.divide(order.taker_notional + order.maker_notional, order.filled), pair.pair_decimals)


def _misc(order: Order) -> str:
    notes = []
    if order.status == Status.OPEN and order.filled:
        notes.append("partial")
    if order.amend_id:
        notes.append("amended")
    return ",".join(notes)


def trade_body(trade: Trade) -> dict[str, Any]:
    """A trade with its `order` loaded."""
    pair = CATALOGUE[trade.pair]
    return {
        "ordertxid": trade.order.txid,
        "postxid": "",
        "pair": pair.code,
        "aclass": "forex",
        "time": seconds(trade.traded_at),
        "type": trade.side,
        "ordertype": OrderType(trade.order.kind).value,
        "price": fixed(trade.price, pair.cost_decimals),
        "cost": fixed(trade.cost, pair.cost_decimals),
        "fee": fixed(trade.fee, pair.cost_decimals),
        "vol": fixed(trade.volume, pair.lot_decimals),
        "margin": fixed(Decimal(0), pair.cost_decimals),
        "leverage": "0",
        "misc": "",
        "trade_id": trade.pk,
        "maker": trade.is_maker,
    }


def ledger_body(entry: LedgerEntry) -> dict[str, Any]:
    decimals = ASSETS[entry.asset].decimals
    return {
        "refid": entry.refid,
        "time": seconds(entry.posted_at),
        "type": entry.kind,
        "subtype": "",
        "aclass": "currency",
        "asset": entry.asset,
        "amount": fixed(entry.amount, decimals),
        "fee": fixed(entry.fee, decimals),
        "balance": fixed(entry.balance, decimals),
    }
