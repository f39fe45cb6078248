"""What the stream of a user tells: notes of changes, in whatever order they commit, and the journal made of them."""

from uuid import UUID

from django.db import models
from django.db.models.functions import Now


class StreamKind(models.TextChoices):
    """What an event of the stream shows, in the form of the read of the same thing."""

    STATUS = "status"
    ORDER = "order"
    TRADE = "trade"
    ALERT = "alert"
    RECEIPT = "receipt"


class StreamNote(models.Model):
    """A row changed: written by triggers, in the transaction of the change, and deleted once it is in the journal.

    `kind` is one of StreamKind, or `command` or `halt`, which concern what the journal finds out. Ids are drawn before
    transactions commit, so a lower one may appear after a higher one.
    """

    kind = models.CharField(max_length=7)
    subject_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    user_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    noted_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "stream_note"


class StreamEntry(models.Model):
    """A change of something of a user. Whoever sees an entry sees every entry below its `position`."""

    position = models.BigIntegerField(primary_key=True)
    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    kind = models.CharField(max_length=7, choices=StreamKind.choices)
    subject_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    noted_at = models.DateTimeField()

    class Meta:
        db_table = "stream_entry"
        indexes = [models.Index(fields=["user_id", "position"], name="stream_entry_of_user")]
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=StreamKind.values), name="stream_entry_kind"),
        ]


class StreamHead(models.Model):
    """One row. Its lock makes positions visible in their order. Entries up to `floor` may have been deleted."""

    id = models.PositiveSmallIntegerField(primary_key=True)
    position = models.BigIntegerField()
    floor = models.BigIntegerField()

    class Meta:
        db_table = "stream_head"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="stream_head_one")]
