"""The queue of outgoing mail."""

from uuid import UUID

from django.db import models

from apps.core.ids import new_id


class OutgoingMail(models.Model):
    """A mail to be sent by `manage.py run_mailer`, inserted in the transaction that causes it.

    The row holds kind and recipient. Text and token are generated on sending, so no token is stored here. The address
    may have no account: the mailer checks that instead of the request, so that a request takes the same time for known
    and unknown addresses.
    """

    class Kind(models.TextChoices):
        VERIFY_EMAIL = "verify_email"
        ADDRESS_TAKEN = "address_taken"
        RESET_PASSWORD = "reset_password"  # noqa: S105  (a name)
        PASSWORD_CHANGED = "password_changed"  # noqa: S105  (a name)
        MFA_ENABLED = "mfa_enabled"
        MFA_DISABLED = "mfa_disabled"
        SESSION_REVOKED = "session_revoked"

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=20, choices=Kind)
    email = models.EmailField(max_length=254)
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=120, blank=True)

    class Meta:
        db_table = "outgoing_mail"
        constraints = [
            # At most one queued mail per kind and address: repeated requests by a stranger cannot flood a mailbox.
            models.UniqueConstraint(
                fields=["kind", "email"], name="outgoing_mail_waits_once", condition=models.Q(sent_at=None)
            )
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="outgoing_mail_due", condition=models.Q(sent_at=None)),
            models.Index(fields=["email", "kind", "sent_at"], name="outgoing_mail_sent"),
        ]
