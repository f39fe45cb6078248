"""Sessions."""

from uuid import UUID

from django.db import models

from apps.accounts.models.user import User
from apps.core.ids import new_id


class UserSession(models.Model):
    """A session: one log-in and its family of refresh tokens, of which exactly one is valid at any time.

    Only a digest of that token's id is stored. A session ends at `revoked_at` or `expires_at`, whichever is earlier.
    """

    class Method(models.TextChoices):
        PASSWORD = "password"  # noqa: S105  (a name)
        PASSWORD_AND_OTP = "password_and_otp"  # noqa: S105  (a name)
        PASSKEY = "passkey"

    class Ending(models.TextChoices):
        LOGGED_OUT = "logged_out", "Logged out"
        ENDED_BY_USER = "ended_by_user", "Ended by the user from another session"
        ENDED_BY_STAFF = "ended_by_staff", "Ended by staff"
        TOKEN_REPLAYED = "token_replayed", "A refresh token was used twice"
        PASSWORD_CHANGED = "password_changed", "The password was changed"
        ACCOUNT_CLOSED = "account_closed", "The account was closed"
        MFA_ENABLED = "mfa_enabled", "Two-factor log-in was switched on"
        EMAIL_REVERTED = "email_reverted", "A change of the e-mail address was taken back"
        SESSION_LIMIT = "session_limit", "Another session was opened, and the account had as many as it may"
        ACCESS_CHANGED = "access_changed", "Roles were changed, or the account was disabled"

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions")
    token_digest = models.BinaryField(max_length=32)
    previous_digest = models.BinaryField(max_length=32, null=True)
    rotated_at = models.DateTimeField(null=True)
    # Digest of the Idempotency-Key of the request that exchanged the previous token.
    rotated_by = models.BinaryField(max_length=32, null=True)
    method = models.CharField(max_length=20, choices=Method)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_reason = models.CharField(max_length=20, choices=Ending, blank=True)

    class Meta:
        db_table = "user_session"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(revoked_at=None, revoked_reason="")
                | (models.Q(revoked_at__isnull=False) & ~models.Q(revoked_reason="")),
                name="user_session_ended_for_a_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="user_session_of_user"),
            models.Index(fields=["expires_at"], name="user_session_expiry"),
        ]
