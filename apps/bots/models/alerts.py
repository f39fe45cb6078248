from uuid import UUID

from django.db import models


class Alert(models.Model):
    """An alert for a user. Its id is the id of the event that caused it."""

    class Severity(models.TextChoices):
        WARNING = "warning"
        CRITICAL = "critical"

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    kind = models.CharField(max_length=60)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    code = models.TextField()
    message = models.TextField()
    bot_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    credential_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    occurred_at = models.DateTimeField()

    class Meta:
        db_table = "alert"
        indexes = [models.Index(fields=["user_id", "-id"], name="alert_of_user")]
        constraints = [
            models.CheckConstraint(condition=models.Q(severity__in=["warning", "critical"]), name="alert_severity")
        ]
