"""Creates the exchange of a credential. The address follows from the mode alone."""

from apps.core.terms import Mode
from apps.exchange.addresses import exchange_url
from apps.exchange.kraken.client import CallPolicy
from apps.exchange.kraken.exchange import KrakenExchange
from apps.exchange.port import Credential, Exchange, MarketData


def exchange_for(credential: Credential, *, policy: CallPolicy | None = None) -> Exchange:
    """The account of a credential: paper on the paper exchange, live on Kraken. For one thread.

    Raises UnsafeExchangeUrl.
    """
    return KrakenExchange(
        mode=credential.mode,
        url=exchange_url(credential.mode),
        api_key=credential.api_key,
        api_secret=credential.api_secret,
        policy=policy,
    )


def market_data_for(mode: Mode, *, policy: CallPolicy | None = None) -> MarketData:
    """Public market data, without a key. For one thread. Raises UnsafeExchangeUrl."""
    return KrakenExchange(mode=mode, url=exchange_url(mode), policy=policy)
