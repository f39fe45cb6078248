"""Markets: the current replay of a pair, and its restart."""

from collections.abc import Iterable

from django.db import transaction

from apps.paper.market.listing import listed_markets
from apps.paper.models import Market
from apps.paper.services.market_session import Clock, is_current, open_market_session, restart


def market_current(*, pair: str, clock: Clock) -> Market:
    """The market's row; the first call for a market starts it. `pair` is a listed altname."""
    row = Market.objects.filter(pair=pair).first()
    if row is not None and is_current(row, listed_markets()[pair]):
        return row
    with transaction.atomic():
        session = open_market_session(pairs={pair}, account_id=None, clock=clock)
        session.save()
    return session.markets[pair].row


@transaction.atomic
def markets_restart(*, pairs: Iterable[str], clock: Clock, only_ended: bool) -> list[Market]:
    """Settles the markets, then restarts them at their start candle; resting orders stay. Returns those restarted."""
    session = open_market_session(pairs=pairs, account_id=None, clock=clock)
    restarted = []
    for market in session.markets.values():
        if market.has_ended or not only_ended:
            restart(market.row, market.replay.series, session.now)
            restarted.append(market.row)
    session.save()
    return restarted
