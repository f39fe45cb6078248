"""The market that the exchange replays: candles, the clock that moves through them, and the price path within them."""

from apps.paper.market.candles import Candle, CandleSeries
from apps.paper.market.dump_file import load_candles
from apps.paper.market.replay import Replay, ReplayClock
from apps.paper.market.synthetic import generate_candles

__all__ = ["Candle", "CandleSeries", "Replay", "ReplayClock", "generate_candles", "load_candles"]
