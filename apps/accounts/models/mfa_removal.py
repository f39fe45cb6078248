"""Removals of a lost second factor by staff."""

from uuid import UUID

from django.db import models
from django.db.models import F, Q

from apps.accounts.models.user import User
from apps.core.ids import new_id


class MfaRemoval(models.Model):
    """One member of staff asks for it, another one consents. Open until it is done or `expires_at` has passed."""

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", verbose_name="account")
    reason = models.CharField(max_length=500, help_text="How the owner proved to be the owner.")
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    consented_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    removed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "mfa_removal"
        verbose_name = "removal of a second factor"
        verbose_name_plural = "removals of second factors"
        constraints = [
            models.CheckConstraint(
                condition=Q(consented_by=None, removed_at=None)
                | (Q(consented_by__isnull=False, removed_at__isnull=False) & ~Q(consented_by=F("requested_by"))),
                name="mfa_removal_takes_two_persons",
            ),
            models.CheckConstraint(
                condition=~Q(requested_by=F("user")) & (Q(consented_by=None) | ~Q(consented_by=F("user"))),
                name="mfa_removal_not_by_the_owner",
            ),
        ]
        indexes = [models.Index(fields=["user", "-requested_at"], name="mfa_removal_of_user")]

    def __str__(self) -> str:
        return f"Removal for {self.user.email}"
