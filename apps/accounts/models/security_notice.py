"""Notices of what may be an attack on an account or on the platform, for staff to look at."""

from datetime import datetime
from uuid import UUID

from django.db import models

from apps.core.ids import new_id


class SecurityNotice(models.Model):
    """What happened of one kind to one account since staff last acknowledged that; `user_id` is empty where it
    concerns no account.

    `count` says how often: a thousand failed log-ins are one notice. Staff see it once it `is_raised`. It holds ids,
    counts and times, no address and no secret: `first_event_id` and `last_event_id` lead to the events.
    """

    class Kind(models.TextChoices):
        NEW_DEVICE = "new_device", "Log-in from a new device"
        LOG_INS_FAILED = "log_ins_failed", "Many failed log-ins"
        UNKNOWN_LOG_INS_FAILED = "unknown_log_ins_failed", "Many failed log-ins without an account"
        NETWORK_LOCKED_OUT = "network_locked_out", "Network locked out"
        SECOND_FACTOR_CHANGED = "second_factor_changed", "Second factor changed"
        SECOND_FACTOR_COPIED = "second_factor_copied", "Copy of a passkey"
        EXCHANGE_KEY_CHANGED = "exchange_key_changed", "Exchange key changed"
        MACHINE_KEY_CHANGED = "machine_key_changed", "Machine key made, or used from elsewhere"
        LIVE_BOT_CREATED = "live_bot_created", "Bot with real money created"
        LIVE_SWITCHED_ON = "live_switched_on", "Live trading switched on"

    class Severity(models.TextChoices):
        INFO = "info"
        WARNING = "warning"
        CRITICAL = "critical"

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=24, choices=Kind)
    severity = models.CharField(max_length=8, choices=Severity)
    user_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    count: "models.PositiveIntegerField[int, int]" = models.PositiveIntegerField(default=0)
    is_raised = models.BooleanField(default=False)
    first_event_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    last_event_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    first_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField()
    last_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField()
    # When the owner was last mailed about it.
    mailed_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(null=True)
    acknowledged_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(null=True)
    acknowledged_by: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    because = models.CharField(max_length=500, blank=True)

    class Meta:
        db_table = "security_notice"
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "user_id"],
                name="security_notice_open_once",
                condition=models.Q(acknowledged_at=None),
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=models.Q(acknowledged_at=None, acknowledged_by=None, because="")
                | models.Q(acknowledged_at__isnull=False, acknowledged_by__isnull=False) & ~models.Q(because=""),
                name="security_notice_is_acknowledged_by_somebody_for_a_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["-last_at"], name="security_notice_last"),
            models.Index(fields=["user_id", "kind", "mailed_at"], name="security_notice_mailed"),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()
