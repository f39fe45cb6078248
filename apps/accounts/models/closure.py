"""Closures of accounts."""

from django.db import models

from apps.accounts.models.user import User


class AccountClosure(models.Model):
    """An account that its owner has closed. `remaining` is what the kraken service said last; null before it answered.

    `finished_at` is set once nothing remains anywhere. Before that `manage.py run_housekeeping` asks again at
    `next_step_at`. `email` is the address that gets the mail about the end; it is erased when that mail is queued.
    """

    user = models.OneToOneField(User, on_delete=models.PROTECT, primary_key=True, related_name="+")
    requested_at = models.DateTimeField()
    abandons = models.BooleanField()
    remaining = models.JSONField(null=True)
    next_step_at = models.DateTimeField()
    email = models.EmailField(max_length=254, blank=True, db_default="")
    steps = models.PositiveIntegerField(default=0)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "account_closure"
        indexes = [
            models.Index(fields=["next_step_at"], name="account_closure_due", condition=models.Q(finished_at=None))
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(finished_at=None) | models.Q(email=""), name="account_closure_erases_the_address"
            )
        ]
