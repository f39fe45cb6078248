"""Daily figures of the platform: a read model that events fill. It names no user."""

from django.db import models


class DailyFigure(models.Model):
    """One figure of one UTC day. `mode` and `asset` are empty where the figure has none.

    `id` is `DAY/FIGURE/MODE/ASSET`: a rebuild makes the same rows. `value` counts events; volume is the sum of costs in
    `asset`, the quote asset.
    """

    class Figure(models.TextChoices):
        REGISTRATIONS = "registrations"
        LOG_INS = "log_ins", "Log-ins"
        ONBOARDINGS = "onboardings", "Onboarding completed"
        KEYS = "keys", "Keys connected"
        BOTS = "bots", "Bots created"
        STARTS = "starts", "Bots started"
        TRADES = "trades"
        VOLUME = "volume"
        ERRORS = "errors", "Errors of bots and keys"

    id = models.CharField(primary_key=True, max_length=80)
    day = models.DateField()
    figure = models.CharField(max_length=16, choices=Figure)
    mode = models.CharField(max_length=8, blank=True)
    asset = models.CharField(max_length=16, blank=True)
    value: "models.DecimalField[object, object]" = models.DecimalField(max_digits=48, decimal_places=16)

    class Meta:
        db_table = "daily_figure"
        constraints = [
            models.UniqueConstraint(fields=["day", "figure", "mode", "asset"], name="daily_figure_once"),
            models.CheckConstraint(condition=models.Q(value__gte=0), name="daily_figure_is_not_negative"),
        ]
