"""Private read methods: balances, orders, trades, ledgers, fees, API key. All settle the account first."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.paper import ids, selectors
from apps.paper.api.endpoints.market_data import MarketSnapshot, echo_of, pair_named
from apps.paper.api.formats import ledger_body, order_body, seconds, trade_body
from apps.paper.api.params import Params
from apps.paper.api.registry import private
from apps.paper.engine.fees import FeeSchedule, FeeTier, fee_schedule
from apps.paper.engine.ledger import EntryType
from apps.paper.engine.money import fixed
from apps.paper.engine.orders import ZERO
from apps.paper.errors import InvalidArguments, InvalidOrder, UnknownAssetName, UnknownOrder
from apps.paper.instruments import ASSETS, USD, Pair, asset_named
from apps.paper.market.listing import listed_markets
from apps.paper.models import ApiKey, Order
from apps.paper.selectors import Span
from apps.paper.services.orders import account_settle

_OFFSET_MAX = 1_000_000


def _settled(api_key: ApiKey) -> UUID:
    account_settle(account_id=api_key.account_id, clock=timezone.now)
    return api_key.account_id


def _span(params: Params, account_id: UUID) -> Span:
    """`start` and `end` are Unix times, or ids of an order, trade or ledger entry of the account."""
    offset = params.integer("ofs", least=0, most=_OFFSET_MAX) or 0
    bounds: list[datetime | None] = []
    for name in ("start", "end"):
        text = params.text(name)
        if text is not None and ids.is_txid(text):
            moment = selectors.moment_of(account_id, text)
            if moment is None:
                raise InvalidArguments(name)
            bounds.append(moment)
        else:
            bounds.append(params.moment(name))
    return Span(bounds[0], bounds[1], offset)


def _page(name: str, rows: dict[str, Any], count: int, params: Params) -> dict[str, Any]:
    """A page of a history, with the total unless ``without_count`` is set."""
    return {name: rows} if params.boolean("without_count") else {name: rows, "count": count}


@private("Balance", "query-funds")
def balance(api_key: ApiKey, _params: Params) -> dict[str, str]:
    wallets = selectors.wallet_list(_settled(api_key))
    return {wallet.asset: fixed(wallet.balance, ASSETS[wallet.asset].decimals) for wallet in wallets}


@private("BalanceEx", "query-funds")
def balance_ex(api_key: ApiKey, _params: Params) -> dict[str, dict[str, str]]:
    return {
        wallet.asset: {
            "balance": fixed(wallet.balance, ASSETS[wallet.asset].decimals),
            "hold_trade": fixed(wallet.held, ASSETS[wallet.asset].decimals),
        }
        for wallet in selectors.wallet_list(_settled(api_key))
    }


@private("TradeBalance", "query-funds")
def trade_balance(api_key: ApiKey, params: Params) -> dict[str, str]:
    """The value of all balances at present market prices. There is no margin: equity and free margin are equal."""
    asset = asset_named(params.text("asset") or USD.code)
    if asset is None:
        raise UnknownAssetName
    total = sum((wallet.balance * _price_of(wallet.asset) for wallet in selectors.wallet_list(_settled(api_key))), ZERO)
    price = _price_of(asset.code)
    total = total / price if price else ZERO
    worth, nothing = fixed(total, 4), fixed(ZERO, 4)
    return {
        "eb": worth,
        "tb": worth,
        "m": nothing,
        "uv": nothing,
        "n": nothing,
        "c": nothing,
        "v": nothing,
        "e": worth,
        "mf": worth,
    }


def _price_of(asset: str) -> Decimal:
    """The price in USD; 0 if no listed market prices the asset."""
    if asset == USD.code:
        return Decimal(1)
    for series in listed_markets().values():
        if series.pair.base.code == asset:
            snapshot = MarketSnapshot(series.pair)
            return series.pair.price(snapshot.replay.price_at(snapshot.step))
    return ZERO


@private("OpenOrders", "query-open-trades")
def open_orders(api_key: ApiKey, params: Params) -> dict[str, Any]:
    orders = selectors.open_order_list(_settled(api_key), userref=params.userref(), cl_ord_id=params.text("cl_ord_id"))
    return {"open": _order_bodies(orders, with_trades=params.boolean("trades"))}


@private("ClosedOrders", "query-closed-trades")
def closed_orders(api_key: ApiKey, params: Params) -> dict[str, Any]:
    """Pages of 50, last closed first; `start` is exclusive, `end` inclusive."""
    columns = {"both": ("opened_at", "closed_at"), "open": ("opened_at",), "close": ("closed_at",)}
    closetime = params.text("closetime") or "both"
    if closetime not in columns:
        raise InvalidArguments("closetime")
    account_id = _settled(api_key)
    orders, count = selectors.closed_order_list(
        account_id,
        userref=params.userref(),
        cl_ord_id=params.text("cl_ord_id"),
        span=_span(params, account_id),
        time_columns=columns[closetime],
    )
    return _page("closed", _order_bodies(orders, with_trades=params.boolean("trades")), count, params)


@private("QueryOrders", "query-open-trades", "query-closed-trades")
def query_orders(api_key: ApiKey, params: Params) -> dict[str, Any]:
    """Up to 50 orders by txid. Raises UnknownOrder for a txid that does not exist, InvalidOrder for a malformed one."""
    txids = params.names("txid")
    if not txids:
        raise InvalidArguments("txid")
    if not all(map(ids.is_txid, txids)):
        raise InvalidOrder
    orders = selectors.order_list_by_txid(_settled(api_key), txids, userref=params.userref())
    if {order.txid for order in orders} != set(txids):
        raise UnknownOrder
    return _order_bodies(orders, with_trades=params.boolean("trades"))


def _order_bodies(orders: Sequence[Order], *, with_trades: bool) -> dict[str, Any]:
    trades = selectors.trade_txids_by_order(orders) if with_trades else {}
    return {order.txid: order_body(order, trades.get(order.pk)) for order in orders}


@private("TradesHistory", "query-closed-trades")
def trades_history(api_key: ApiKey, params: Params) -> dict[str, Any]:
    """Pages of 50, newest first. Each book level that an order took is one trade."""
    account_id = _settled(api_key)
    trades, count = selectors.trade_list(account_id, span=_span(params, account_id))
    return _page("trades", {trade.txid: trade_body(trade) for trade in trades}, count, params)


@private("QueryTrades", "query-closed-trades")
def query_trades(api_key: ApiKey, params: Params) -> dict[str, Any]:
    txids = params.names("txid")
    if not txids:
        raise InvalidArguments("txid")
    trades = selectors.trade_list_by_txid(_settled(api_key), txids)
    if {trade.txid for trade in trades} != set(txids):
        raise InvalidArguments("txid")
    return {trade.txid: trade_body(trade) for trade in trades}


@private("Ledgers", "query-ledger")
def ledgers(api_key: ApiKey, params: Params) -> dict[str, Any]:
    names = [name for name in params.names("asset") if name != "all"]
    assets = [asset_named(name) for name in names]
    if None in assets:
        raise UnknownAssetName
    kind = params.text("type")
    if kind not in (None, "all", *EntryType):
        return {"ledger": {}, "count": 0}
    account_id = _settled(api_key)
    entries, count = selectors.ledger_list(
        account_id,
        assets=[asset.code for asset in assets if asset] or None,
        kind=None if kind == "all" else kind,
        span=_span(params, account_id),
    )
    return _page("ledger", {entry.ledger_id: ledger_body(entry) for entry in entries}, count, params)


@private("TradeVolume", "query-funds")
def trade_volume(api_key: ApiKey, params: Params) -> dict[str, Any]:
    """The 30-day volume in USD, and the fees of the requested pairs in percent."""
    volume = selectors.volume_30_days(_settled(api_key), now=timezone.now())
    body: dict[str, Any] = {"currency": "ZUSD", "volume": fixed(volume, 4)}
    pairs = {echo_of(name, pair_named(name)): pair_named(name) for name in params.names("pair")}
    if pairs:
        schedule = fee_schedule(api_key.account.fee_schedule)
        body["fees"] = {key: _fees(schedule, volume, "taker") for key in pairs}
        body["fees_maker"] = {key: _fees(schedule, volume, "maker") for key in pairs}
        if _fee_schedule_wanted(params):
            body["schedules"] = [_schedule_body(pair, schedule, volume) for pair in pairs.values()]
    return body


def _fee_schedule_wanted(params: Params) -> bool:
    """Unlike in its other parameters, Kraken accepts only lower case here."""
    value = params.text("fee_schedule")
    if value not in (None, "true", "false", "1", "0"):
        raise InvalidArguments("fee_schedule")
    return value in ("true", "1")


def _percent(tier: FeeTier, role: str) -> str:
    return fixed((tier.taker if role == "taker" else tier.maker).scaleb(2), 4)


def _fees(schedule: FeeSchedule, volume: Decimal, role: str) -> dict[str, str | None]:
    tier, next_tier = schedule.tier(volume), schedule.next_tier(volume)
    return {
        "fee": _percent(tier, role),
        "minfee": _percent(schedule.tiers[-1], role),
        "maxfee": _percent(schedule.tiers[0], role),
        "nextfee": _percent(next_tier, role) if next_tier else None,
        "nextvolume": fixed(next_tier.volume, 4) if next_tier else None,
        "tiervolume": fixed(tier.volume, 4),
    }


def _schedule_body(pair: Pair, schedule: FeeSchedule, volume: Decimal) -> dict[str, Any]:
    tiers: list[dict[str, Any]] = []
    for tier in schedule.tiers:
        body: dict[str, Any] = {"maker_fee": _percent(tier, "maker"), "taker_fee": _percent(tier, "taker")}
        if tier.volume:
            body["min_spot_volume"] = fixed(tier.volume, 4)
        if tier == schedule.tier(volume):
            body["active"] = True
        tiers.append(body)
    return {"pair": pair.code, "class": "forex", "tiers": tiers}


@private("GetApiKeyInfo")
def get_api_key_info(api_key: ApiKey, params: Params) -> dict[str, Any]:
    """Kraken's documented fields, numbers as strings. Keys of this exchange have no expiry and no IP allowlist."""
    return {
        "apiKeyName": api_key.name,
        "apiKey": api_key.key,
        "permissions": api_key.permissions,
        "nonce": str(params.text("nonce")),
        "nonceWindow": "0",
        "iban": "",
        "validUntil": "0",
        "queryFrom": "0",
        "queryTo": "0",
        "createdTime": _text_seconds(api_key.created_at),
        "modifiedTime": _text_seconds(api_key.created_at),
        "ipAllowlist": [],
        "lastUsed": _text_seconds(timezone.now()),
    }


def _text_seconds(moment: datetime) -> str:
    return str(int(seconds(moment)))
