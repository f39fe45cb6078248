"""The queue of outgoing mail."""

from uuid import UUID

from django.db import models

from apps.accounts.models.email_change import EmailChange
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
        ADDRESS_UNPROVEN = "address_unproven"  # what ADDRESS_TAKEN becomes where the address was never verified
        CHOOSE_PASSWORD = "choose_password"  # noqa: S105  (a name)
        RESET_PASSWORD = "reset_password"  # noqa: S105  (a name)
        PASSWORD_CHANGED = "password_changed"  # noqa: S105  (a name)
        MFA_ENABLED = "mfa_enabled"
        MFA_DISABLED = "mfa_disabled"
        MFA_REMOVAL_ASKED = "mfa_removal_asked"
        MFA_REMOVED = "mfa_removed"
        SESSION_REVOKED = "session_revoked"
        PASSKEY_ADDED = "passkey_added"
        PASSKEY_REMOVED = "passkey_removed"
        PASSKEY_COPIED = "passkey_copied"
        EMAIL_CHANGE_CONFIRM = "email_change_confirm"
        EMAIL_CHANGE_ASKED = "email_change_asked"
        EMAIL_CHANGED = "email_changed"
        EMAIL_REVERTED = "email_reverted"
        ADDRESS_RESERVED = "address_reserved"  # what others become for an address that can still be reverted to
        NEW_DEVICE = "new_device"
        LOG_INS_FAILED = "log_ins_failed"
        EXCHANGE_KEY_CHANGED = "exchange_key_changed"
        MACHINE_KEY_CHANGED = "machine_key_changed"
        LIVE_BOT_CREATED = "live_bot_created"
        CLOSURE_ASKED = "closure_asked"
        CLOSURE_DONE = "closure_done"

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=20, choices=Kind)
    email = models.EmailField(max_length=254)
    # Its code, and not the account that has the address, decides what such a mail says.
    email_change = models.ForeignKey(EmailChange, on_delete=models.CASCADE, null=True, related_name="+")
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
                fields=["kind", "email"],
                name="outgoing_mail_waits_once",
                condition=models.Q(sent_at=None, email_change=None),
            )
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="outgoing_mail_due", condition=models.Q(sent_at=None)),
            models.Index(fields=["email", "kind", "sent_at"], name="outgoing_mail_sent"),
        ]
