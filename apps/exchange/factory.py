"""Which exchange a credential belongs to. The address follows from the mode alone; nothing else can choose it."""

from apps.core.terms import Mode
from apps.exchange.addresses import exchange_url
from apps.exchange.kraken.client import Patience
from apps.exchange.kraken.exchange import KrakenExchange
from apps.exchange.port import Credential, Exchange, MarketData


def exchange_for(credential: Credential, *, patience: Patience | None = None) -> Exchange:
    """The account that a credential opens: paper on the paper exchange, live on Kraken. For one thread.

    Raises UnsafeExchangeUrl.
    """
    return KrakenExchange(
        mode=credential.mode,
        url=exchange_url(credential.mode),
        api_key=credential.api_key,
        api_secret=credential.api_secret,
        patience=patience,
    )


def market_data_for(mode: Mode, *, patience: Patience | None = None) -> MarketData:
    """Public market data, without a key. For one thread. Raises UnsafeExchangeUrl."""
    return KrakenExchange(mode=mode, url=exchange_url(mode), patience=patience)
