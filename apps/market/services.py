"""Refreshes the stored instruments."""

from dataclasses import asdict
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db import transaction
from django.db.models import Max

from apps.core.terms import Mode
from apps.exchange.factory import market_data_for
from apps.exchange.instrument import Instrument
from apps.exchange.kraken.client import CallPolicy
from apps.market.cache import AHEAD_AT_MOST, ASKING_SECONDS, SILENCE, Snapshot, is_silent, note_silence
from apps.market.errors import MarketDataUnavailable
from apps.market.models import MarketInstrument

FRESH = timedelta(seconds=60)
# A reader waits for the response: stale data is better than a long wait.
QUICK = CallPolicy(connect_seconds=1.0, read_seconds=3.0, attempts=1)
# Where no list is stored there is nothing to show instead.
PATIENT = CallPolicy(connect_seconds=3.0, read_seconds=10.0, attempts=1)

_FIELDS = [field.name for field in MarketInstrument._meta.fields if field.name not in ("id", "exchange", "altname")]


def instruments_ensure(*, mode: Mode, now: datetime, fresh: timedelta = FRESH) -> Snapshot[None]:
    """Refreshes the stored instruments if they are older than `fresh`. Returns their time and whether they are stale.

    No transaction: this may call the exchange. Raises MarketDataUnavailable if no instruments are stored.
    """
    listed_at = MarketInstrument.objects.filter(exchange=mode).aggregate(at=Max("fetched_at"))["at"]
    if listed_at is not None and now - fresh < listed_at <= now + AHEAD_AT_MOST:
        return Snapshot(None, listed_at)
    if is_silent(mode):
        return _stale(listed_at)
    asking = f"market:{mode}:instruments:asking"
    if listed_at is not None and cache.add(asking, 1, timeout=ASKING_SECONDS) is False:
        return Snapshot(None, listed_at)
    try:
        policy = QUICK if listed_at is not None else PATIENT
        instruments_store(market_data_for(mode, policy=policy).instruments(), mode=mode, now=now)
    except SILENCE as silence:
        note_silence(mode, silence)
        return _stale(listed_at, silence)
    finally:
        cache.delete(asking)
    return Snapshot(None, now)


def _stale(listed_at: datetime | None, silence: Exception | None = None) -> Snapshot[None]:
    if listed_at is None:
        raise MarketDataUnavailable("The exchange does not answer, and no list of pairs is kept.") from silence
    return Snapshot(None, listed_at, is_stale=True)


@transaction.atomic
def instruments_store(listed: list[Instrument], *, mode: Mode, now: datetime) -> None:
    """Replaces the stored instruments by the list. An empty list is ignored: it is taken for a failed response."""
    if not listed:
        return
    rows = [
        MarketInstrument(exchange=mode, fetched_at=now, **asdict(instrument))
        # Sorted, so that two concurrent writers do not deadlock.
        for instrument in sorted(listed, key=lambda instrument: instrument.altname)
    ]
    MarketInstrument.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["exchange", "altname"], update_fields=_FIELDS
    )
    MarketInstrument.objects.filter(exchange=mode, fetched_at__lt=now).delete()
