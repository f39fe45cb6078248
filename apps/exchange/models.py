from django.db import models


class ExchangeNonce(models.Model):
    """The highest nonce that an API key was signed with, and whether the key may be used. `key_digest` is the SHA-256
    of the API key.

    An exchange refuses every nonce that is not above the key's last one. A clock that was set back would repeat
    nonces, so the last one is stored. `refused_code` says that the exchange refused the key itself: nothing is signed
    with it until `refused_until`, or until it passes a test where that is null.
    """

    key_digest = models.CharField(max_length=64, primary_key=True)
    last_nonce = models.BigIntegerField()
    used_at = models.DateTimeField()
    refused_code = models.CharField(max_length=80, blank=True, default="", db_default="")
    refused_at = models.DateTimeField(null=True)
    refused_until = models.DateTimeField(null=True)

    class Meta:
        db_table = "exchange_nonce"


class ExchangeBudget(models.Model):
    """A counter of calls that the exchange keeps too: of a key, with an empty `scope`, or of a key on one pair.

    `points` in millionths, times in microseconds since 1970 (`apps/exchange/limits.py`). `shares` are the
    bots'. The exchange wants no call of the key before `blocked_until`.
    """

    key_digest = models.CharField(max_length=64)
    scope = models.CharField(max_length=40, blank=True)
    points = models.BigIntegerField()
    counted_at = models.BigIntegerField()
    shares: "models.JSONField[dict[str, list[int]], dict[str, list[int]]]" = models.JSONField(default=dict)
    blocked_until = models.BigIntegerField(default=0)

    class Meta:
        db_table = "exchange_budget"
        constraints = [
            models.UniqueConstraint(fields=["key_digest", "scope"], name="exchange_budget_once"),
            models.CheckConstraint(condition=models.Q(points__gte=0), name="exchange_budget_points"),
        ]


class ExchangeClock(models.Model):
    """Our clock minus that of a mode's exchange, as one host measured it last: between these bounds, in seconds."""

    mode = models.CharField(max_length=5)
    host = models.CharField(max_length=255)
    low_seconds = models.FloatField()
    high_seconds = models.FloatField()
    measured_at = models.DateTimeField()

    class Meta:
        db_table = "exchange_clock"
        constraints = [
            models.UniqueConstraint(fields=["mode", "host"], name="exchange_clock_of_a_host"),
            models.CheckConstraint(
                condition=models.Q(low_seconds__lte=models.F("high_seconds")), name="exchange_clock_bounds"
            ),
        ]
