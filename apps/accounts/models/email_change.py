"""Changes of e-mail addresses."""

from uuid import UUID

from django.db import models
from django.db.models import Q

from apps.accounts.models.user import User
from apps.core.ids import new_id


class EmailChange(models.Model):
    """A change of an account's e-mail address: made by a code to the new address, reverted by one to the old.

    Only digests of the two codes are stored; they are issued when the mail is sent.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        REPLACED = "replaced", "Replaced by a later request"
        CHANGED = "changed"
        REVERTED = "reverted"

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="email_changes")
    old_email = models.EmailField(max_length=254)
    new_email = models.EmailField(max_length=254)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    requested_at = models.DateTimeField()
    confirm_digest = models.BinaryField(max_length=32, null=True, unique=True)
    confirm_expires_at = models.DateTimeField()
    changed_at = models.DateTimeField(null=True)
    revert_digest = models.BinaryField(max_length=32, null=True, unique=True)
    revert_expires_at = models.DateTimeField()

    class Meta:
        db_table = "email_change"
        constraints = [
            models.UniqueConstraint(fields=["user"], condition=Q(state="pending"), name="email_change_one_pending"),
        ]
        indexes = [
            models.Index(fields=["user", "-requested_at"], name="email_change_of_user"),
            models.Index(fields=["old_email"], name="email_change_reserves", condition=Q(state="changed")),
        ]
