"""Expected failures of market data."""

from apps.core.errors import DependencyUnavailable, Refused


class MarketDataUnavailable(DependencyUnavailable):
    """The exchange does not answer, and nothing that it said before is kept."""

    code = "market_data_unavailable"


class IntervalNotOffered(Refused):
    """The exchange has no candles of this length for the pair."""

    code = "interval_not_offered"
