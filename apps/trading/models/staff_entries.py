"""What a member of staff enters: it waits to be carried out, has a result, and another person corrects it."""

from uuid import UUID

from django.db import models
from django.db.models import BaseConstraint, CheckConstraint, F, Q, UniqueConstraint

from apps.core.ids import new_id


class EntryState(models.TextChoices):
    REQUESTED = "requested"
    APPLIED = "applied"
    REFUSED = "refused"


class StaffEntry(models.Model):
    """One person's entry. `operator_id` identifies the person, `operator` is the name.

    `corrects` is an applied entry that this one corrects; only another person may do that. `code` and `message` are the
    result.
    """

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    operator_id = models.CharField(max_length=160)
    operator = models.CharField(max_length=120)
    because = models.CharField(max_length=500)
    corrects = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="corrections")
    corrected_operator_id = models.CharField(max_length=160, blank=True)
    # Each kind of entry has it with choices that say what they mean there.
    state = models.CharField(max_length=9, default=EntryState.REQUESTED)
    code = models.CharField(max_length=80, blank=True)
    message = models.TextField(blank=True)
    requested_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    @property
    def outcome(self) -> str:
        """What the person entered, in words."""
        raise NotImplementedError


def entry_constraints(prefix: str, *, about: str) -> list[BaseConstraint]:
    """The rules of entries. `about`: the column of what they are about, of which one at a time is carried out."""
    return [
        CheckConstraint(condition=Q(state__in=EntryState.values), name=f"{prefix}_state"),
        CheckConstraint(condition=~Q(because="") & ~Q(operator="") & ~Q(operator_id=""), name=f"{prefix}_has_a_reason"),
        CheckConstraint(
            condition=Q(state=EntryState.REQUESTED, finished_at=None)
            | (~Q(state=EntryState.REQUESTED) & Q(finished_at__isnull=False)),
            name=f"{prefix}_finished",
        ),
        CheckConstraint(
            condition=Q(corrects=None, corrected_operator_id="")
            | (Q(corrects__isnull=False) & ~Q(operator_id=F("corrected_operator_id"))),
            name=f"{prefix}_second_person",
        ),
        UniqueConstraint(fields=[about], condition=Q(state=EntryState.REQUESTED), name=f"{prefix}_one_at_a_time"),
        UniqueConstraint(fields=["corrects"], condition=Q(state=EntryState.APPLIED), name=f"{prefix}_corrected_once"),
    ]
