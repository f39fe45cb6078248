"""The Kraken adapter: implements the port over Kraken's REST API."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog

from apps.core.errors import PlatformError
from apps.core.money import plain
from apps.core.terms import Mode
from apps.exchange.budget import Budget
from apps.exchange.errors import ExchangeRefused, HistoryTooLong, IntervalNotOffered, OutcomeUnknown, UnknownPair
from apps.exchange.instrument import Instrument
from apps.exchange.kraken import error_classification, parsing
from apps.exchange.kraken.client import CallPolicy
from apps.exchange.kraken.parsing import reading
from apps.exchange.kraken.transport import OnRefusedKey, Transport
from apps.exchange.limits import Tier
from apps.exchange.nonce import key_digest
from apps.exchange.types import (
    Accepted,
    Balance,
    Cancellation,
    ExchangeOrder,
    ExchangeTrade,
    FeeRates,
    KeyInfo,
    LedgerRow,
    Ohlc,
    OrderBook,
    OrderRequest,
    ServerStatus,
    Submission,
    Ticker,
)

log = structlog.get_logger(__name__)

PAGE = 50
MAX_PAGES = 40
# Kraken's limits of ids in one call
MAX_ORDERS = 50
MAX_TRADES = 20

_UNKNOWN_IDS = "EGeneral:Invalid arguments:txid"

Item = TypeVar("Item")


class KrakenExchange:
    """Kraken, or the paper exchange with the same API. Implements :class:`apps.exchange.port.Exchange`."""

    def __init__(
        self,
        *,
        mode: Mode,
        url: str,
        api_key: str = "",
        api_secret: str = "",
        policy: CallPolicy | None = None,
        on_refused_key: OnRefusedKey | None = None,
        is_test: bool = False,
        tier: Tier = Tier.UNLIMITED,
        caller: str = "",
    ) -> None:
        self.mode: Mode = mode
        self._transport = Transport(
            mode=mode,
            url=url,
            api_key=api_key,
            api_secret=api_secret,
            policy=policy or CallPolicy(),
            on_refused_key=on_refused_key,
            is_test=is_test,
            budget=Budget(key_digest(api_key), tier, caller),
        )

    def __repr__(self) -> str:
        return f"<KrakenExchange {self.mode}>"

    # --- market data

    def server_status(self) -> ServerStatus:
        result = self._transport.public("SystemStatus")
        with reading("its status"):
            return parsing.server_status(result)

    def server_time(self) -> datetime:
        result = self._transport.public("Time")
        with reading("its time"):
            return datetime.fromtimestamp(int(result["unixtime"]), UTC)

    def instruments(self) -> list[Instrument]:
        result = self._transport.public("AssetPairs")
        with reading("its pairs"):
            return [parsing.instrument(code, row) for code, row in result.items()]

    def instrument(self, pair: str) -> Instrument:
        result = self._transport.public("AssetPairs", pair=pair)
        with reading(f"the pair {pair}"):
            code, row = next(iter(result.items()))
            found = parsing.instrument(code, row)
        if pair not in found.names:
            raise UnknownPair(f"The exchange does not list {pair}.", pair=pair)
        return found

    def ticker(self, pair: str) -> Ticker:
        result = self._transport.public("Ticker", pair=pair)
        with reading(f"the ticker of {pair}"):
            return parsing.ticker(pair, parsing.only_entry(result))

    def ohlc(self, pair: str, interval_minutes: int, since: datetime | None = None) -> Ohlc:
        params = {"pair": pair, "interval": str(interval_minutes)}
        if since is not None:
            params["since"] = str(int(since.timestamp()))
        try:
            result = self._transport.public("OHLC", **params)
        except ExchangeRefused as refused:
            if not error_classification.is_invalid_argument(refused.exchange_error):
                raise
            raise IntervalNotOffered(pair=pair, interval_minutes=interval_minutes) from refused
        with reading(f"the candles of {pair}"):
            return parsing.ohlc(result)

    def order_book(self, pair: str, depth: int = 25) -> OrderBook:
        result = self._transport.public("Depth", pair=pair, count=str(depth))
        with reading(f"the order book of {pair}"):
            return parsing.order_book(pair, parsing.only_entry(result))

    # --- account

    def balances(self) -> dict[str, Balance]:
        result = self._transport.private("BalanceEx")
        with reading("balances"):
            return {asset: parsing.balance(asset, row) for asset, row in result.items()}

    def open_orders(self, client_order_id: str | None = None) -> list[ExchangeOrder]:
        result = self._transport.private("OpenOrders", trades="true", **_given(cl_ord_id=client_order_id))
        with reading("open orders"):
            return _oldest_first([parsing.order(txid, row) for txid, row in (result.get("open") or {}).items()])

    def closed_orders(self, client_order_id: str | None = None, start: datetime | None = None) -> list[ExchangeOrder]:
        params = {"trades": "true", "closetime": "both", **_given(cl_ord_id=client_order_id, start=_timestamp(start))}
        pages = self._pages("ClosedOrders", "closed", params, parsing.order)
        return _oldest_first(list(pages.values()))

    def orders(self, exchange_order_ids: Sequence[str]) -> dict[str, ExchangeOrder]:
        found: dict[str, ExchangeOrder] = {}
        for part in _parts(exchange_order_ids, MAX_ORDERS):
            found |= self._queried("QueryOrders", part, parsing.order, trades="true")
        return found

    def trades_of(self, trade_ids: Sequence[str]) -> dict[str, ExchangeTrade]:
        found: dict[str, ExchangeTrade] = {}
        for part in _parts(trade_ids, MAX_TRADES):
            found |= self._queried("QueryTrades", part, parsing.trade)
        return found

    def trades_history(self, start: datetime | None = None) -> list[ExchangeTrade]:
        pages = self._pages("TradesHistory", "trades", _given(start=_timestamp(start)), parsing.trade)
        return sorted(pages.values(), key=lambda trade: (trade.executed_at, trade.trade_id))

    def ledger(self, start: datetime | None = None) -> list[LedgerRow]:
        pages = self._pages("Ledgers", "ledger", _given(start=_timestamp(start)), parsing.ledger_row)
        return sorted(pages.values(), key=lambda row: (row.at, row.entry_id))

    def key_info(self) -> KeyInfo:
        result = self._transport.private("GetApiKeyInfo")
        with reading("the key"):
            return parsing.key_info(result)

    def trade_volume(self, pair: str) -> FeeRates:
        result = self._transport.private("TradeVolume", pair=pair)
        with reading(f"the fees of {pair}"):
            return parsing.fee_rates(result)

    # --- trading

    def submit(self, order: OrderRequest) -> Submission:
        envelope, deadline = self._transport.place(
            "AddOrder", cl_ord_id=order.client_order_id, latest_deadline=order.deadline, **_order_params(order)
        )
        if envelope.errors:
            try:
                return error_classification.refusal_of_placement(envelope.errors, cl_ord_id=order.client_order_id)
            except OutcomeUnknown as unknown:
                unknown.deadline = deadline
                self._log_alarming(unknown, envelope)
                raise
        result = envelope.result if isinstance(envelope.result, Mapping) else {}
        txids = result.get("txid")
        if not isinstance(txids, list) or len(txids) != 1 or not isinstance(txids[0], str):
            no_id = OutcomeUnknown(
                "It is not known whether the order was placed: the answer names no order.",
                client_order_id=order.client_order_id,
                deadline=deadline,
                is_alarming=True,
            )
            self._log_alarming(no_id, envelope)
            raise no_id
        description = result.get("descr")
        text = description.get("order") if isinstance(description, Mapping) else ""
        return Accepted(txids[0], str(text or ""), envelope.warnings)

    def cancel(
        self,
        *,
        exchange_order_id: str | None = None,
        client_order_id: str | None = None,
        pair: str = "",
        placed_at: datetime | None = None,
    ) -> Cancellation:
        if (exchange_order_id is None) is (client_order_id is None):
            raise ValueError("Give an exchange_order_id or a client_order_id.")
        try:
            ids = _given(txid=exchange_order_id, cl_ord_id=client_order_id)
            result = self._transport.cancel("CancelOrder", of_pair=pair, placed_at=placed_at, **ids)
        except ExchangeRefused as refused:
            if error_classification.is_gone((refused.exchange_error,)):
                return Cancellation(0)
            raise
        with reading("a cancellation"):
            return Cancellation(int(result["count"]))

    def suspend_key(self, error: PlatformError) -> None:
        self._transport.suspend_key(error)

    # --- inside

    def _log_alarming(self, unknown: OutcomeUnknown, envelope: error_classification.Envelope) -> None:
        """Logs an error where the exchange answered with an error that is not classified."""
        if unknown.is_alarming:
            log.error(
                "placement_answer_unknown",
                mode=self.mode,
                client_order_id=unknown.client_order_id,
                said=envelope.errors,
            )

    def _pages(
        self, method: str, part: str, params: dict[str, str], parse: Callable[[str, Mapping[str, Any]], Item]
    ) -> dict[str, Item]:
        """All pages by id: a row that moved to the next page meanwhile is kept once."""
        found: dict[str, Item] = {}
        for page in range(MAX_PAGES):
            result = self._transport.private(method, **params, ofs=str(page * PAGE))
            with reading("the history"):
                rows = result.get(part) or {}
                found |= {key: parse(key, row) for key, row in rows.items()}
            if len(rows) < PAGE:
                return found
        raise HistoryTooLong(f"There are more than {MAX_PAGES * PAGE} rows: ask for a later start.")

    def _queried(
        self, method: str, ids: Sequence[str], parse: Callable[[str, Mapping[str, Any]], Item], **params: str
    ) -> dict[str, Item]:
        """By id. Kraken refuses the whole call for one unknown id; then each half is queried alone."""
        try:
            result = self._transport.private(method, txid=",".join(ids), **params)
        except ExchangeRefused as refused:
            if not error_classification.is_gone((refused.exchange_error,)) and refused.exchange_error != _UNKNOWN_IDS:
                raise
            if len(ids) == 1:
                return {}
            middle = len(ids) // 2
            first, second = ids[:middle], ids[middle:]
            return self._queried(method, first, parse, **params) | self._queried(method, second, parse, **params)
        with reading("the ids asked for"):
            return {key: parse(key, row) for key, row in result.items()}


def _order_params(order: OrderRequest) -> dict[str, str]:
    """Parameters of AddOrder. Amounts are fixed-point text: a float would be sent as 1e-05."""
    params = {
        "pair": order.pair,
        "type": order.side.value,
        "ordertype": order.order_type.value,
        "volume": plain(order.volume),
        # The fee in quote on either side, as the ledger and the events define it.
        "oflags": "post,fciq" if order.post_only else "fciq",
    }
    if order.price is not None:
        params["price"] = plain(order.price)
        params["timeinforce"] = order.time_in_force.value
    return params


def _given(**params: str | None) -> dict[str, str]:
    """Parameters without the None values: a None would be signed but not sent."""
    return {name: value for name, value in params.items() if value is not None}


def _timestamp(at: datetime | None) -> str | None:
    """Unix time in whole seconds, rounded down: a row too many does no harm."""
    return None if at is None else str(int(at.timestamp()))


def _parts(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    unique = list(dict.fromkeys(ids))
    return (unique[begin : begin + size] for begin in range(0, len(unique), size))


def _oldest_first(orders: list[ExchangeOrder]) -> list[ExchangeOrder]:
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(orders, key=lambda order: (order.opened_at or never, order.exchange_order_id))
