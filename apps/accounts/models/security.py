"""What stands between an account and a stranger: counted attempts, one-time tokens, one-time passwords."""

from uuid import UUID

from django.db import models

from apps.accounts.models.user import User
from apps.core.ids import new_id


class LoginGuard(models.Model):
    """Attempts counted against one account or one network address. In PostgreSQL, so that they survive a lost cache.

    `subject` is a digest: of an address of an account, be there one or not, or of a network address.
    """

    class Kind(models.TextChoices):
        ACCOUNT = "account"
        ADDRESS = "address"

    kind = models.CharField(max_length=10, choices=Kind)
    subject = models.BinaryField(max_length=32)
    attempts = models.PositiveIntegerField(default=0)
    window_ends_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "login_guard"
        constraints = [models.UniqueConstraint(fields=["kind", "subject"], name="login_guard_subject")]


class OneTimeToken(models.Model):
    """A token that was mailed to an account's owner. Only its digest is kept, and it works once."""

    class Purpose(models.TextChoices):
        VERIFY_EMAIL = "verify_email"
        RESET_PASSWORD = "reset_password"  # noqa: S105  (a name)

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    purpose = models.CharField(max_length=20, choices=Purpose)
    digest = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "one_time_token"
        indexes = [models.Index(fields=["user", "purpose"], name="one_time_token_of_user")]


class MfaDevice(models.Model):
    """A TOTP authenticator (RFC 6238). Its secret is sealed for its owner; a step once used is never accepted again."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="+")
    nonce = models.BinaryField(max_length=12)
    ciphertext = models.BinaryField(max_length=128)
    wrapped_key = models.BinaryField(max_length=128)
    created_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)
    last_step = models.BigIntegerField(default=0)

    class Meta:
        db_table = "mfa_device"


class RecoveryCode(models.Model):
    """Opens the account once when the authenticator is lost. Only a digest is kept (80 random bits need no salt)."""

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    digest = models.BinaryField(max_length=32)
    used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "recovery_code"
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_once")]
