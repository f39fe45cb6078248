from django.db import models
from django.db.models import Q

from apps.core.terms import Mode


class CandleSeries(models.Model):
    """The candles of one pair and interval in one mode, as last seen: one look serves all runs that wait for them.

    `last_candle_at` is the opening of the last closed candle, in market time; `seen_at` is when the exchange was asked
    for the answer that first had it. `closed_after`, `closed_by` and `misses` tell when it closed on the wall clock
    (`apps/trading/candle_clock.py`). `failures` counts the looks since the exchange last answered.
    """

    mode = models.CharField(max_length=5)
    pair = models.CharField(max_length=20)
    interval_minutes = models.PositiveIntegerField()
    last_candle_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True)
    looked_at = models.DateTimeField(null=True)
    closed_after = models.DateTimeField(null=True)
    closed_by = models.DateTimeField(null=True)
    misses = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    next_look_at = models.DateTimeField()

    class Meta:
        db_table = "trading_candle_series"
        constraints = [
            models.UniqueConstraint(fields=["mode", "pair", "interval_minutes"], name="trading_candle_series_once"),
            models.CheckConstraint(condition=Q(mode__in=list(Mode)), name="trading_candle_series_mode"),
            models.CheckConstraint(
                condition=Q(last_candle_at=None, seen_at=None) | Q(last_candle_at__isnull=False, seen_at__isnull=False),
                name="trading_candle_series_seen",
            ),
        ]

    # Looks that failed one after the other, from which on the waiting runs are told.
    FAILURES_TO_TELL = 3

    @property
    def is_failing(self) -> bool:
        return self.failures >= self.FAILURES_TO_TELL
