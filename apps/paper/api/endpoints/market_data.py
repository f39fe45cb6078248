"""Public market data. Candles carry market time; order book, trades and server time carry wall time."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from apps.paper.api.params import LATEST_UNIX_TIME, Params
from apps.paper.api.registry import public
from apps.paper.engine.money import fixed
from apps.paper.errors import InvalidArguments, UnknownAssetName, UnknownAssetPair
from apps.paper.instruments import ASSETS, Pair, asset_named
from apps.paper.market import summaries
from apps.paper.market.depth import LEVELS, OrderBook, Taken, best_prices_at, order_book_at
from apps.paper.market.file_names import INTERVALS_MINUTES
from apps.paper.market.listing import listed_markets
from apps.paper.market.path import STEPS
from apps.paper.market.replay import Replay
from apps.paper.services.market_session import replay_of
from apps.paper.services.markets import market_current

_DEPTH_MAX = 500
_PRINTS_MAX = 1000


class MarketSnapshot:
    """The state of one pair's market at the present moment."""

    def __init__(self, pair: Pair) -> None:
        row = market_current(pair=pair.altname, clock=timezone.now)
        self.pair = pair
        self.now = max(timezone.now(), row.started_at)
        self.replay: Replay = replay_of(row, listed_markets()[pair.altname])
        self.step = self.replay.step_at(self.now)
        self.has_ended = self.replay.has_ended(self.now)
        self.taken = Taken(row.taken_candle, row.taken_asks, row.taken_bids)

    def order_book(self) -> OrderBook:
        return order_book_at(self.replay, self.step, self.taken)

    def exact(self, ticks: int) -> str:
        """A price with the cost decimals, as Kraken prints it in tickers, order books and trades."""
        return fixed(self.pair.price(ticks), self.pair.cost_decimals)

    def short(self, ticks: int) -> str:
        return fixed(self.pair.price(ticks), self.pair.pair_decimals)

    def lots(self, lots: int, decimals: int | None = None) -> str:
        return fixed(self.pair.volume(lots), self.pair.lot_decimals if decimals is None else decimals)


def pair_named(name: str) -> Pair:
    """A listed pair by id, altname or symbol. Raises UnknownAssetPair."""
    for series in listed_markets().values():
        if name in series.pair.names:
            return series.pair
    raise UnknownAssetPair


def echo_of(name: str, pair: Pair) -> str:
    """The key in Kraken's answer: a symbol (``BTC/USD``) is echoed; id and altname give the id."""
    return name if name == pair.symbol else pair.code


def _snapshot_of(params: Params) -> tuple[str, MarketSnapshot]:
    name = params.required("pair")
    pair = pair_named(name)
    return echo_of(name, pair), MarketSnapshot(pair)


def _pairs_of(params: Params) -> dict[str, Pair]:
    names = params.names("pair") or [series.pair.code for series in listed_markets().values()]
    return {echo_of(name, pair_named(name)): pair_named(name) for name in names}


@public("Time")
def time(_params: Params) -> dict[str, Any]:
    now = timezone.now()
    return {"unixtime": int(now.timestamp()), "rfc1123": now.strftime("%a, %d %b %y %H:%M:%S +0000")}


@public("SystemStatus")
def system_status(_params: Params) -> dict[str, Any]:
    """Kraken's fields and one more, `paper`: the replayed markets, and whether they are synthetic."""
    markets = [market_facts(MarketSnapshot(series.pair)) for series in listed_markets().values()]
    has_ended = all(market["status"] == "cancel_only" for market in markets)
    return {
        "status": "cancel_only" if has_ended else "online",
        "timestamp": timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "paper": {"synthetic": any(market["synthetic"] for market in markets), "markets": markets},
    }


def market_facts(snapshot: MarketSnapshot) -> dict[str, Any]:
    """Source and progress of a replayed market. Not part of Kraken's API."""
    series = snapshot.replay.series
    return {
        "pair": snapshot.pair.altname,
        "source": series.source,
        "synthetic": series.synthetic,
        "status": "cancel_only" if snapshot.has_ended else "online",
        "interval_minutes": series.interval_minutes,
        "candle_seconds": snapshot.replay.clock.candle_seconds,
        "candles": len(series),
        "candles_closed": len(series) if snapshot.has_ended else snapshot.step // STEPS,
        "market_time": datetime.fromtimestamp(snapshot.replay.market_time_at(snapshot.step), UTC).isoformat(),
        "ends_at": snapshot.replay.ends_at.isoformat(),
    }


@public("Assets")
def assets(params: Params) -> dict[str, Any]:
    listed = {asset.code for series in listed_markets().values() for asset in (series.pair.base, series.pair.quote)}
    found = {}
    for name in params.names("asset") or sorted(listed):
        asset = asset_named(name)
        if asset is None or asset.code not in listed:
            raise UnknownAssetName
        found[asset.code] = {
            "aclass": "currency",
            "altname": asset.altname,
            "decimals": asset.decimals,
            "display_decimals": asset.display_decimals,
            "status": "enabled",
        }
    return {code: found[code] for code in ASSETS if code in found}


@public("AssetPairs")
def asset_pairs(params: Params) -> dict[str, Any]:
    """All fields, whatever `info` says. The fee lists are empty, as Kraken's are since September 2026."""
    return {key: _pair_facts(pair, has_ended=MarketSnapshot(pair).has_ended) for key, pair in _pairs_of(params).items()}


def _pair_facts(pair: Pair, *, has_ended: bool) -> dict[str, Any]:
    return {
        "altname": pair.altname,
        "wsname": pair.wsname,
        "aclass_base": "currency",
        "base": pair.base.code,
        "aclass_quote": "currency",
        "quote": pair.quote.code,
        "lot": "unit",
        "cost_decimals": pair.cost_decimals,
        "pair_decimals": pair.pair_decimals,
        "lot_decimals": pair.lot_decimals,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [],
        "fees_maker": [],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": str(pair.ordermin),
        "costmin": str(pair.costmin),
        "tick_size": format(pair.tick_size, "f"),
        "status": "cancel_only" if has_ended else "online",
        "execution_venue": "international",
    }


@public("Ticker")
def ticker(params: Params) -> dict[str, Any]:
    return {key: _ticker(MarketSnapshot(pair)) for key, pair in _pairs_of(params).items()}


def _ticker(snapshot: MarketSnapshot) -> dict[str, Any]:
    book = snapshot.order_book()
    bid, ask = best_prices_at(snapshot.replay, snapshot.step)
    best_ask = (book.asks[0].price, book.asks[0].volume) if book.asks else (ask, 0)
    best_bid = (book.bids[0].price, book.bids[0].volume) if book.bids else (bid, 0)
    today, day = summaries.day_windows(snapshot.replay, snapshot.step)
    both = (today, day)
    return {
        "a": _quote(snapshot, *best_ask),
        "b": _quote(snapshot, *best_bid),
        "c": [
            snapshot.exact(snapshot.replay.price_at(snapshot.step)),
            snapshot.lots(snapshot.replay.volume_at(snapshot.step)),
        ],
        "v": [snapshot.lots(window.volume) for window in both],
        "p": [snapshot.exact(window.average) for window in both],
        "t": [window.trades for window in both],
        "l": [snapshot.exact(window.low) for window in both],
        "h": [snapshot.exact(window.high) for window in both],
        "o": snapshot.exact(today.open),
    }


def _quote(snapshot: MarketSnapshot, price: int, volume: int) -> list[str]:
    return [snapshot.exact(price), snapshot.lots(volume, 0), snapshot.lots(volume, 3)]


@public("OHLC")
def ohlc(params: Params) -> dict[str, Any]:
    """Bars of the recorded interval or a multiple of it. Finer intervals are refused: the data does not have them."""
    key, snapshot = _snapshot_of(params)
    interval = params.integer("interval", least=1, most=INTERVALS_MINUTES[-1]) or 1
    own = snapshot.replay.series.interval_minutes
    if interval not in INTERVALS_MINUTES or interval % own:
        raise InvalidArguments("interval")
    since = params.integer("since", least=0, most=LATEST_UNIX_TIME)
    rows, last = summaries.bars(
        snapshot.replay,
        snapshot.step,
        ended=snapshot.has_ended,
        interval_minutes=interval,
        since=-1 if since is None else since,
    )
    return {key: [_ohlc_row(snapshot, bar) for bar in rows], "last": last}


def _ohlc_row(snapshot: MarketSnapshot, bar: summaries.Bar) -> list[Any]:
    prices = [snapshot.short(ticks) for ticks in (bar.open, bar.high, bar.low, bar.close, bar.average)]
    return [bar.time, *prices, snapshot.lots(bar.volume), bar.trades]


@public("Depth")
def depth(params: Params) -> dict[str, Any]:
    """Up to a hundred levels a side, which is the whole order book."""
    key, snapshot = _snapshot_of(params)
    count = min(LEVELS, params.integer("count", least=1, most=_DEPTH_MAX) or LEVELS)
    book = snapshot.order_book()
    now = int(snapshot.now.timestamp())
    return {
        key: {
            side: [[snapshot.exact(level.price), snapshot.lots(level.volume, 3), now] for level in levels[:count]]
            for side, levels in (("asks", book.asks), ("bids", book.bids))
        }
    }


@public("Trades")
def trades(params: Params) -> dict[str, Any]:
    """The market's trades, one a step of its price path. `since` is in nanoseconds or seconds."""
    key, snapshot = _snapshot_of(params)
    count = params.integer("count", least=1, most=_PRINTS_MAX) or _PRINTS_MAX
    prints = summaries.prints(snapshot.replay, snapshot.step, since=_since(params), count=count)
    rows = [
        [
            snapshot.exact(trade.price),
            snapshot.lots(trade.volume),
            trade.time.timestamp(),
            "b" if trade.rising else "s",
            "m",
            "",
            trade.number,
        ]
        for trade in prints
    ]
    last = prints[-1].time if prints else _since(params) or snapshot.now
    return {key: rows, "last": str(_nanoseconds(last))}


@public("Spread")
def spread(params: Params) -> dict[str, Any]:
    """Best bid and ask of the full order book over the last two hundred steps."""
    key, snapshot = _snapshot_of(params)
    since = params.integer("since", least=0, most=LATEST_UNIX_TIME) or 0
    rows = []
    for step in range(max(0, snapshot.step - 199), snapshot.step + 1):
        bid, ask = best_prices_at(snapshot.replay, step)
        at = int(snapshot.replay.time_of(step).timestamp())
        if at >= since:
            rows.append([at, snapshot.exact(bid), snapshot.exact(ask)])
    return {key: rows, "last": rows[-1][0] if rows else since}


def _since(params: Params) -> datetime | None:
    value = params.number("since")
    if value is None:
        return None
    seconds = value / Decimal(1_000_000_000) if value >= LATEST_UNIX_TIME else value
    if not 0 <= seconds < LATEST_UNIX_TIME:
        raise InvalidArguments("since")
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(seconds * 1_000_000))


def _nanoseconds(moment: datetime) -> int:
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000
