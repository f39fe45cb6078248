"""Expected failures of market data."""

from apps.core.errors import DependencyUnavailable, Refused


class MarketDataUnavailable(DependencyUnavailable):
    """The exchange does not answer, and there is no cached value."""

    code = "market_data_unavailable"


class IntervalNotOffered(Refused):
    """The exchange does not offer this candle interval for the pair."""

    code = "interval_not_offered"
