from django.db import models


class IdempotencyRecord(models.Model):
    """The first request of an Idempotency-Key, by fingerprint, and its response. `status` is null until then."""

    scope = models.CharField(max_length=80)
    key = models.CharField(max_length=128)
    fingerprint = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    headers = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "idempotency_record"
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="idempotency_record_scope_key")]
