"""Markets: what plays now, and starting it again."""

from collections.abc import Iterable

from django.db import transaction

from apps.paper.market.listing import listed_markets
from apps.paper.models import Market
from apps.paper.services.market_session import Clock, is_current, open_floor, restart


def market_current(*, pair: str, clock: Clock) -> Market:
    """The market's row, started if this is the first look at it. `pair` is a listed altname."""
    row = Market.objects.filter(pair=pair).first()
    if row is not None and is_current(row, listed_markets()[pair]):
        return row
    with transaction.atomic():
        floor = open_floor(pairs={pair}, account_id=None, clock=clock)
        floor.save()
    return floor.markets[pair].row


@transaction.atomic
def markets_restart(*, pairs: Iterable[str], clock: Clock, only_ended: bool) -> list[Market]:
    """Settles the markets, then begins them anew at their start candle; resting orders stay. Returns the restarted."""
    floor = open_floor(pairs=pairs, account_id=None, clock=clock)
    restarted = []
    for market in floor.markets.values():
        if market.has_ended or not only_ended:
            restart(market.row, market.replay.series, floor.now)
            restarted.append(market.row)
    floor.save()
    return restarted
