"""The market that the smoke test trades on: the one that the paper exchange plays, asked for over its API."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal

import requests

from apps.bots.models import Interval
from apps.ops.smoke_test.client import TIMEOUT_SECONDS, Json, PlatformClient, SmokeTestFailed

LEAST_CANDLES = 5
FIRST_TRADE_CANDLES = 40
FIRST_TRADE_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 600.0
LEAST_BUDGET = Decimal(1000)
ORDERS_IN_BUDGET = 4


@dataclass(frozen=True)
class PlayedMarket:
    """One market of the paper exchange, and what a bot on it can expect.

    `interval_minutes` is the bot's: the shortest that the platform offers and that the market's own candles make up.
    `candle_seconds` is how long such a candle lasts in wall time, `seconds_left` how long the market goes on.
    """

    pair: str
    interval_minutes: int
    candle_seconds: float
    seconds_left: float
    source: str
    synthetic: bool

    @property
    def title(self) -> str:
        return "SYNTHETIC: made up from a seed" if self.synthetic else f"recorded: {self.source}"

    @property
    def first_trade_seconds(self) -> float:
        """How long to wait for the first trade: a crossing of averages takes some candles."""
        return max(FIRST_TRADE_SECONDS, FIRST_TRADE_CANDLES * self.candle_seconds)


def played_market(exchange_url: str) -> PlayedMarket:
    """Of several markets the one that goes on longest, of equals the first.

    Raises SmokeTestFailed where the exchange does not answer, or where no market can show a bot's trades.
    """
    markets = [_market(facts) for facts in _listed(exchange_url)]
    # A market that ends later lets the bot trade longer; max() keeps the order of the list among equals.
    market = max(markets, key=lambda each: each.seconds_left)
    if market.seconds_left < LEAST_CANDLES * market.candle_seconds:
        raise SmokeTestFailed(
            f"The paper exchange's market {market.pair} ({market.source}) has ended or is about to. "
            "`manage.py restart_market` begins it again; a file with more candles lasts longer."
        )
    if market.first_trade_seconds > LONGEST_WAIT_SECONDS:
        raise SmokeTestFailed(
            f"A candle of {market.pair} lasts {market.candle_seconds:g} s here, too long to wait for trades. "
            "Set MUCKARD_MARKET_CANDLE_SECONDS to 1 and start the platform again."
        )
    return market


def budget_on(client: PlatformClient, rules: Json) -> Decimal:
    """In the pair's quote asset: enough for several orders of the least size (`rules` of the pair) at the price now."""
    ask = Decimal(client.get("/api/v1/trading/ticker", pair=rules["pair"])["ask"])
    least_order = max(Decimal(rules["order_minimum"]) * ask, Decimal(rules["cost_minimum"]))
    return max(LEAST_BUDGET, (least_order * ORDERS_IN_BUDGET).to_integral_value(ROUND_CEILING))


def _listed(exchange_url: str) -> list[Json]:
    url = f"{exchange_url.rstrip('/')}/paper/market"
    try:
        answer = requests.get(url, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        listed: list[Json] = answer.json()["markets"]
    except (requests.RequestException, ValueError, KeyError) as error:
        raise SmokeTestFailed(
            f"The paper exchange does not say at {url} what it plays ({type(error).__name__})."
        ) from None
    if not listed:
        raise SmokeTestFailed("The paper exchange plays no market.")
    return listed


def _market(facts: Json) -> PlayedMarket:
    own = int(facts["interval_minutes"])
    interval = next((minutes for minutes in sorted(Interval.values) if minutes % own == 0), None)
    if interval is None:
        raise SmokeTestFailed(
            f"The platform has no bots for candles of {own} minutes, which {facts['pair']} is played in."
        )
    left = datetime.fromisoformat(facts["ends_at"]) - datetime.now(UTC)
    return PlayedMarket(
        pair=facts["pair"],
        interval_minutes=interval,
        candle_seconds=float(facts["candle_seconds"]) * (interval // own),
        seconds_left=left.total_seconds() if facts["status"] == "online" else 0.0,
        source=facts["source"],
        synthetic=facts["synthetic"],
    )
