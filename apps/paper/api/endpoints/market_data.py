"""Public market data. Candles carry the time they were recorded at; book, prints and server time are now."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from apps.paper.api.params import Params
from apps.paper.api.registry import public
from apps.paper.engine.money import fixed
from apps.paper.errors import InvalidArguments, UnknownAssetName, UnknownAssetPair
from apps.paper.instruments import ASSETS, Pair, asset_named
from apps.paper.market import summaries
from apps.paper.market.depth import LEVELS, Book, Taken, book_at, touch_at
from apps.paper.market.file_names import INTERVALS_MINUTES
from apps.paper.market.listing import listed_markets
from apps.paper.market.path import STEPS
from apps.paper.market.replay import Replay
from apps.paper.services.market_session import replay_of
from apps.paper.services.markets import market_current

_DEPTH_MAX = 500
_PRINTS_MAX = 1000
_LATEST = 32_503_680_000


class Scene:
    """One pair at this moment."""

    def __init__(self, pair: Pair) -> None:
        row = market_current(pair=pair.altname, clock=timezone.now)
        self.pair = pair
        self.now = max(timezone.now(), row.started_at)
        self.replay: Replay = replay_of(row, listed_markets()[pair.altname])
        self.step = self.replay.step_at(self.now)
        self.has_ended = self.replay.has_ended(self.now)
        self.taken = Taken(row.taken_candle, row.taken_asks, row.taken_bids)

    def book(self) -> Book:
        return book_at(self.replay, self.step, self.taken)

    def exact(self, ticks: int) -> str:
        """Kraken prints prices of tickers, books and trades with the cost decimals."""
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
    """The key under which Kraken answers: ``BTC/USD`` for itself, the id for id and altname."""
    return name if name == pair.symbol else pair.code


def _scene_of(params: Params) -> tuple[str, Scene]:
    name = params.required("pair")
    pair = pair_named(name)
    return echo_of(name, pair), Scene(pair)


def _pairs_of(params: Params) -> dict[str, Pair]:
    names = params.names("pair") or [series.pair.code for series in listed_markets().values()]
    return {echo_of(name, pair_named(name)): pair_named(name) for name in names}


@public("Time")
def time(_params: Params) -> dict[str, Any]:
    now = timezone.now()
    return {"unixtime": int(now.timestamp()), "rfc1123": now.strftime("%a, %d %b %y %H:%M:%S +0000")}


@public("SystemStatus")
def system_status(_params: Params) -> dict[str, Any]:
    """With one field of our own, `paper`: what market plays, and whether it is recorded or synthetic."""
    markets = [market_facts(Scene(series.pair)) for series in listed_markets().values()]
    has_ended = all(market["status"] == "cancel_only" for market in markets)
    return {
        "status": "cancel_only" if has_ended else "online",
        "timestamp": timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "paper": {"synthetic": any(market["synthetic"] for market in markets), "markets": markets},
    }


def market_facts(scene: Scene) -> dict[str, Any]:
    """Not Kraken's: where a market's prices come from and how far it has played."""
    series = scene.replay.series
    return {
        "pair": scene.pair.altname,
        "source": series.source,
        "synthetic": series.synthetic,
        "status": "cancel_only" if scene.has_ended else "online",
        "interval_minutes": series.interval_minutes,
        "candle_seconds": scene.replay.clock.candle_seconds,
        "candles": len(series),
        "candles_closed": len(series) if scene.has_ended else scene.step // STEPS,
        "market_time": datetime.fromtimestamp(scene.replay.market_time_at(scene.step), UTC).isoformat(),
        "ends_at": scene.replay.ends_at.isoformat(),
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
    """All fields whatever `info` asks for; fees are empty lists, as Kraken's are since September 2026."""
    return {key: _pair_facts(pair, has_ended=Scene(pair).has_ended) for key, pair in _pairs_of(params).items()}


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
    return {key: _ticker(Scene(pair)) for key, pair in _pairs_of(params).items()}


def _ticker(scene: Scene) -> dict[str, Any]:
    book = scene.book()
    bid, ask = touch_at(scene.replay, scene.step)
    best_ask = (book.asks[0].price, book.asks[0].volume) if book.asks else (ask, 0)
    best_bid = (book.bids[0].price, book.bids[0].volume) if book.bids else (bid, 0)
    today, day = summaries.day_windows(scene.replay, scene.step)
    both = (today, day)
    return {
        "a": _quote(scene, *best_ask),
        "b": _quote(scene, *best_bid),
        "c": [scene.exact(scene.replay.price_at(scene.step)), scene.lots(scene.replay.volume_at(scene.step))],
        "v": [scene.lots(window.volume) for window in both],
        "p": [scene.exact(window.average) for window in both],
        "t": [window.trades for window in both],
        "l": [scene.exact(window.low) for window in both],
        "h": [scene.exact(window.high) for window in both],
        "o": scene.exact(today.open),
    }


def _quote(scene: Scene, price: int, volume: int) -> list[str]:
    return [scene.exact(price), scene.lots(volume, 0), scene.lots(volume, 3)]


@public("OHLC")
def ohlc(params: Params) -> dict[str, Any]:
    """Bars of the market's own interval or a multiple of it: a finer one would be invented."""
    key, scene = _scene_of(params)
    interval = params.integer("interval", least=1, most=INTERVALS_MINUTES[-1]) or 1
    own = scene.replay.series.interval_minutes
    if interval not in INTERVALS_MINUTES or interval % own:
        raise InvalidArguments("interval")
    since = params.integer("since", least=0, most=_LATEST)
    rows, last = summaries.bars(
        scene.replay,
        scene.step,
        ended=scene.has_ended,
        interval_minutes=interval,
        since=-1 if since is None else since,
    )
    return {key: [_ohlc_row(scene, bar) for bar in rows], "last": last}


def _ohlc_row(scene: Scene, bar: summaries.Bar) -> list[Any]:
    prices = [scene.short(ticks) for ticks in (bar.open, bar.high, bar.low, bar.close, bar.average)]
    return [bar.time, *prices, scene.lots(bar.volume), bar.trades]


@public("Depth")
def depth(params: Params) -> dict[str, Any]:
    """Up to a hundred levels a side; that is all the liquidity there is."""
    key, scene = _scene_of(params)
    count = min(LEVELS, params.integer("count", least=1, most=_DEPTH_MAX) or LEVELS)
    book = scene.book()
    now = int(scene.now.timestamp())
    return {
        key: {
            side: [[scene.exact(level.price), scene.lots(level.volume, 3), now] for level in levels[:count]]
            for side, levels in (("asks", book.asks), ("bids", book.bids))
        }
    }


@public("Trades")
def trades(params: Params) -> dict[str, Any]:
    """The market's own prints, one a step of its path; `since` is in nanoseconds, or in seconds."""
    key, scene = _scene_of(params)
    count = params.integer("count", least=1, most=_PRINTS_MAX) or _PRINTS_MAX
    prints = summaries.prints(scene.replay, scene.step, since=_since(params), count=count)
    rows = [
        [
            scene.exact(trade.price),
            scene.lots(trade.volume),
            trade.time.timestamp(),
            "b" if trade.rising else "s",
            "m",
            "",
            trade.number,
        ]
        for trade in prints
    ]
    last = prints[-1].time if prints else _since(params) or scene.now
    return {key: rows, "last": str(_nanoseconds(last))}


@public("Spread")
def spread(params: Params) -> dict[str, Any]:
    """Best bid and ask of the untouched book over the last two hundred steps."""
    key, scene = _scene_of(params)
    since = params.integer("since", least=0, most=_LATEST) or 0
    rows = []
    for step in range(max(0, scene.step - 199), scene.step + 1):
        bid, ask = touch_at(scene.replay, step)
        at = int(scene.replay.time_of(step).timestamp())
        if at >= since:
            rows.append([at, scene.exact(bid), scene.exact(ask)])
    return {key: rows, "last": rows[-1][0] if rows else since}


def _since(params: Params) -> datetime | None:
    value = params.number("since")
    if value is None:
        return None
    seconds = value / Decimal(1_000_000_000) if value >= _LATEST else value
    if not 0 <= seconds < _LATEST:
        raise InvalidArguments("since")
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(seconds * 1_000_000))


def _nanoseconds(moment: datetime) -> int:
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000
