"""Expected failures of market data."""

from apps.core.errors import DependencyUnavailable


class MarketDataUnavailable(DependencyUnavailable):
    """The exchange does not answer, and there is no cached value."""

    code = "market_data_unavailable"
