"""Parses Kraken's results. Missing fields are normal: only indispensable ones are required."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from apps.core.terms import Side
from apps.exchange.errors import ExchangeUnavailable
from apps.exchange.instrument import ONLINE, Instrument
from apps.exchange.types import (
    ZERO,
    Balance,
    Candle,
    ExchangeOrder,
    ExchangeTrade,
    FeeRates,
    KeyInfo,
    LedgerRow,
    Level,
    Ohlc,
    OrderBook,
    OrderStatus,
    ServerStatus,
    Ticker,
)

Row = Mapping[str, Any]

# wsname has the old asset names; symbols use the new ones.
_MODERN = {"XBT": "BTC", "XDG": "DOGE"}


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Raises ExchangeUnavailable where the answer has an unexpected shape."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ExchangeUnavailable(f"The exchange's answer about {what} cannot be read.") from error


def amount(value: Any) -> Decimal:
    """An amount from text, or from a number by its decimal digits. Refuses NaN and infinity."""
    if value is None or isinstance(value, bool):
        raise TypeError("not an amount")
    number = Decimal(str(value))
    if not number.is_finite():
        raise InvalidOperation("not an amount")
    return number


def _optional_amount(row: Row, name: str) -> Decimal:
    value = row.get(name)
    return ZERO if value in (None, "") else amount(value)


def _positive(row: Row, name: str) -> Decimal | None:
    return _optional_amount(row, name) or None


def moment(value: Any) -> datetime | None:
    """A time from Unix seconds, as number or text; 0, empty and None mean none."""
    number = ZERO if value in (None, "") else amount(value)
    return datetime.fromtimestamp(float(number), UTC) if number else None


def _either(row: Row, *names: str) -> Any:
    """The first name present: Kraken's documentation and clients disagree on camelCase and snake_case."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def only_entry(result: Mapping[str, Any]) -> Any:
    """The only pair's entry of a result. Its key echoes the form of the requested name."""
    parts = [value for key, value in result.items() if key != "last"]
    if len(parts) != 1:
        raise ValueError("expected one pair")
    return parts[0]


def instrument(code: str, row: Row) -> Instrument:
    base, _, quote = str(row.get("wsname") or "").partition("/")
    symbol = f"{_MODERN.get(base, base)}/{_MODERN.get(quote, quote)}" if quote else row["altname"]
    price_decimals = int(row["pair_decimals"])
    return Instrument(
        altname=row["altname"],
        code=code if "/" not in code else f"{row['base']}{row['quote']}",
        symbol=symbol,
        base=row["base"],
        quote=row["quote"],
        price_decimals=price_decimals,
        volume_decimals=int(row["lot_decimals"]),
        cost_decimals=int(_either(row, "cost_decimals") or price_decimals),
        tick_size=_positive(row, "tick_size") or Decimal(1).scaleb(-price_decimals),
        order_minimum=_optional_amount(row, "ordermin"),
        cost_minimum=_optional_amount(row, "costmin"),
        status=row.get("status") or ONLINE,
    )


def ticker(pair: str, row: Row) -> Ticker:
    """`[0]` of the lists is today's figure, `[1]` that of the last 24 hours; today begins at 00:00 UTC."""
    return Ticker(
        pair=pair,
        ask=amount(row["a"][0]),
        bid=amount(row["b"][0]),
        last=amount(row["c"][0]),
        open=amount(row["o"]),
        high_24h=amount(row["h"][1]),
        low_24h=amount(row["l"][1]),
        volume_24h=amount(row["v"][1]),
        average_24h=amount(row["p"][1]),
        trades_24h=int(row["t"][1]),
    )


def ohlc(result: Mapping[str, Any]) -> Ohlc:
    """`last` is the time of the last closed candle: what is later is still forming."""
    rows = only_entry(result)
    last = int(result["last"])
    closed = tuple(_candle(row) for row in rows if int(row[0]) <= last)
    forming = [_candle(row) for row in rows if int(row[0]) > last]
    return Ohlc(closed, forming[-1] if forming else None)


def _candle(row: list[Any]) -> Candle:
    opened_at = moment(row[0])
    assert opened_at is not None
    open_, high, low, close, average, volume = (amount(value) for value in row[1:7])
    return Candle(
        opened_at=opened_at,
        open=open_,
        high=high,
        low=low,
        close=close,
        average=average,
        volume=volume,
        trades=int(row[7]),
    )


def order_book(pair: str, row: Row) -> OrderBook:
    return OrderBook(pair, _levels(row["asks"]), _levels(row["bids"]))


def _levels(rows: list[Any]) -> tuple[Level, ...]:
    return tuple(Level(amount(row[0]), amount(row[1])) for row in rows)


def balance(asset: str, row: Any) -> Balance:
    if isinstance(row, Mapping):
        return Balance(asset, amount(row["balance"]), _optional_amount(row, "hold_trade"))
    return Balance(asset, amount(row))


def order(txid: str, row: Row) -> ExchangeOrder:
    terms: Row = row.get("descr") or {}
    executed = _optional_amount(row, "vol_exec")
    return ExchangeOrder(
        exchange_order_id=txid,
        status=OrderStatus(row["status"]),
        pair=str(terms.get("pair") or ""),
        side=Side(terms["type"]),
        order_type=str(terms.get("ordertype") or ""),
        volume=amount(row["vol"]),
        executed_volume=executed,
        cost=_optional_amount(row, "cost"),
        fee=_optional_amount(row, "fee"),
        average_price=_positive(row, "price") if executed else None,
        limit_price=_positive(terms, "price") if terms.get("ordertype") == "limit" else None,
        client_order_id=row.get("cl_ord_id") or None,
        userref=int(row["userref"]) if row.get("userref") else None,
        opened_at=moment(row.get("opentm")),
        closed_at=moment(row.get("closetm")),
        reason=row.get("reason") or "",
        trade_ids=tuple(row.get("trades") or ()),
    )


def trade(trade_id: str, row: Row) -> ExchangeTrade:
    executed_at = moment(row["time"])
    if executed_at is None:
        raise ValueError("a trade has a time")
    return ExchangeTrade(
        trade_id=trade_id,
        exchange_order_id=row["ordertxid"],
        pair=row["pair"],
        side=Side(row["type"]),
        price=amount(row["price"]),
        volume=amount(row["vol"]),
        cost=amount(row["cost"]),
        fee=_optional_amount(row, "fee"),
        executed_at=executed_at,
        is_maker=row.get("maker"),
    )


def ledger_row(entry_id: str, row: Row) -> LedgerRow:
    at = moment(row["time"])
    if at is None:
        raise ValueError("a ledger row has a time")
    return LedgerRow(
        entry_id=entry_id,
        reference=str(row.get("refid") or ""),
        kind=str(row.get("type") or ""),
        asset=str(row["asset"]),
        amount=amount(row["amount"]),
        fee=_optional_amount(row, "fee"),
        at=at,
    )


def key_info(row: Row) -> KeyInfo:
    permissions = row.get("permissions")
    if permissions is not None and not isinstance(permissions, list):
        raise TypeError("permissions are a list")
    return KeyInfo(
        name=str(_either(row, "apiKeyName", "api_key_name") or ""),
        permissions=None if permissions is None else frozenset(map(str, permissions)),
        ip_allowlist=tuple(map(str, _either(row, "ipAllowlist", "ip_allowlist") or ())),
        expires_at=moment(_either(row, "validUntil", "valid_until")),
        nonce_window=int(_either(row, "nonceWindow", "nonce_window") or 0),
        created_at=moment(_either(row, "createdTime", "created_time")),
        last_used_at=moment(_either(row, "lastUsed", "last_used")),
    )


def server_status(row: Row) -> ServerStatus:
    """The field `paper` exists on the paper exchange only."""
    paper: Row = row.get("paper") or {}
    timestamp = row.get("timestamp")
    at = datetime.fromisoformat(timestamp) if timestamp else None
    speeds = {
        str(market["pair"]): market["interval_minutes"] * 60 / float(market["candle_seconds"])
        for market in paper.get("markets") or ()
    }
    return ServerStatus(str(row["status"]), at, bool(paper.get("synthetic", False)), speeds)


def fee_rates(row: Row) -> FeeRates:
    """Kraken reports percent. A pair without maker fees has its taker fee for both."""
    taker = amount(only_entry(row["fees"])["fee"])
    makers = row.get("fees_maker")
    maker = amount(only_entry(makers)["fee"]) if makers else taker
    return FeeRates(taker.scaleb(-2), maker.scaleb(-2), _optional_amount(row, "volume"), str(row.get("currency") or ""))
