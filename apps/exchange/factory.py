"""Creates the exchange of a credential. The address follows from the mode alone."""

from django.conf import settings

from apps.core.terms import Mode
from apps.exchange.addresses import exchange_url
from apps.exchange.kraken.client import CallPolicy
from apps.exchange.kraken.exchange import KrakenExchange
from apps.exchange.kraken.transport import OnRefusedKey
from apps.exchange.limits import Tier
from apps.exchange.port import Credential, Exchange, MarketData


def exchange_for(
    credential: Credential,
    *,
    policy: CallPolicy | None = None,
    on_refused_key: OnRefusedKey | None = None,
    is_test: bool = False,
    caller: str = "",
) -> Exchange:
    """The account of a credential: paper on the paper exchange, live on Kraken. For one thread.

    A key that the exchange refuses is suspended at the first answer, in all processes; `on_refused_key` is called in
    that transaction, once a suspension. With `is_test` calls are made with a suspended key too. `caller` names the bot
    that makes the calls: the budget of calls is shared fairly among the bots of a key.
    Raises UnsafeExchangeUrl.
    """
    return KrakenExchange(
        mode=credential.mode,
        url=exchange_url(credential.mode),
        api_key=credential.api_key,
        api_secret=credential.api_secret,
        policy=policy,
        on_refused_key=on_refused_key,
        is_test=is_test,
        tier=Tier(settings.ENVIRONMENT.kraken_tier) if credential.mode == Mode.LIVE else Tier.UNLIMITED,
        caller=caller,
    )


def market_data_for(mode: Mode, *, policy: CallPolicy | None = None) -> MarketData:
    """Public market data, without a key. For one thread. Raises UnsafeExchangeUrl."""
    return KrakenExchange(mode=mode, url=exchange_url(mode), policy=policy)
