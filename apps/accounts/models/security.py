"""Protection of accounts: lockout counters, one-time tokens, authenticators, recovery codes."""

from uuid import UUID

from django.db import models

from apps.accounts.models.user import User
from apps.core.ids import new_id


class LockoutCounter(models.Model):
    """Lockout counter of one account, one network address or one account's step-ups. In PostgreSQL, so that it survives
    the loss of the cache.

    `subject` is a digest of the account's e-mail address, whether or not it has an account, of the network address, or
    of the account's id.
    """

    class Kind(models.TextChoices):
        ACCOUNT = "account"
        ADDRESS = "address"
        STEP_UP = "step_up"

    kind = models.CharField(max_length=10, choices=Kind)
    subject = models.BinaryField(max_length=32)
    attempts = models.PositiveIntegerField(default=0)
    window_ends_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "login_guard"
        constraints = [models.UniqueConstraint(fields=["kind", "subject"], name="login_guard_subject")]


class OneTimeToken(models.Model):
    """A mailed token, valid once. Only its digest is stored."""

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
    """A TOTP authenticator (RFC 6238). Its secret is encrypted for its owner. `last_step` rejects replayed codes."""

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
    """One-time replacement of a lost authenticator. Only a digest is stored; 80 random bits need no salt."""

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    digest = models.BinaryField(max_length=32)
    used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "recovery_code"
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_once")]
