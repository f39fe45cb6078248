"""Kraken Spot over REST, through python-kraken-sdk."""

from apps.exchange.kraken.client import Patience
from apps.exchange.kraken.exchange import KrakenExchange

__all__ = ["KrakenExchange", "Patience"]
