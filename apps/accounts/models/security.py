"""Protection of accounts: lockout counters, one-time tokens, authenticators, recovery codes."""

from uuid import UUID

from django.db import models

from apps.accounts.models.user import User
from apps.core.ids import new_id


class LockoutCounter(models.Model):
    """Counter of attempts that a lockout limits. In PostgreSQL, so that it survives the loss of the cache.

    `subject` is a digest of what is counted: an account's e-mail address (whether or not it has an account), a network,
    the two together, a known device, or a session. `account` is the digest of the account's address where it has a part
    in the subject.
    """

    class Kind(models.TextChoices):
        ACCOUNT = "account", "Account, from unknown devices"
        ADDRESS = "address", "Network: accounts that it failed at"
        PAIR = "pair", "Account and network"
        DEVICE = "device", "Known device"
        STEP_UP = "step_up", "Step-ups of a session"
        PASSWORD = "password", "Passwords of a session"

    kind = models.CharField(max_length=10, choices=Kind)
    subject = models.BinaryField(max_length=32)
    account = models.BinaryField(max_length=32, null=True)
    attempts = models.PositiveIntegerField(default=0)
    window_ends_at = models.DateTimeField(db_index=True)
    # Whether the present lock has been reported: by its first refused attempt.
    is_reported = models.BooleanField(default=False, db_default=False)

    class Meta:
        db_table = "login_guard"
        constraints = [models.UniqueConstraint(fields=["kind", "subject"], name="login_guard_subject")]
        indexes = [
            models.Index(fields=["account"], name="login_guard_account", condition=models.Q(account__isnull=False))
        ]


class Door(models.TextChoices):
    """Where somebody logs in."""

    API = "api"
    STAFF_SITE = "staff_site"


class LogInReport(models.Model):
    """A failed log-in, or the beginning of a lock, until it is published (apps.accounts.services.log_in_reports).

    Written alike whether or not the e-mail address has an account, so that the duration of a request does not say.
    """

    class Reason(models.TextChoices):
        PASSWORD = "password"  # noqa: S105  (a name)
        OTP = "otp"
        PASSKEY = "passkey"
        DISABLED = "disabled"
        NOT_STAFF = "not_staff"

    email = models.CharField(max_length=254)
    door = models.CharField(max_length=10, choices=Door)
    # Empty for a lock.
    reason = models.CharField(max_length=10, choices=Reason, blank=True)
    # Empty for a failed log-in.
    lock = models.CharField(max_length=10, choices=LockoutCounter.Kind, blank=True)
    locked_until = models.DateTimeField(null=True)
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    correlation_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    at = models.DateTimeField()

    class Meta:
        db_table = "log_in_report"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(lock="", locked_until=None) & ~models.Q(reason="")
                | models.Q(reason="", locked_until__isnull=False) & ~models.Q(lock=""),
                name="log_in_report_failure_or_lock",
            )
        ]


class KnownDevice(models.Model):
    """A device or network from which an account logged in. Lockout does not count it among strangers.

    Only digests are stored: of the device token that the log-in answered, or of user id and network.
    """

    class Kind(models.TextChoices):
        TOKEN = "token"  # noqa: S105  (a name)
        NETWORK = "network"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind)
    digest = models.BinaryField(max_length=32)
    last_used_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "known_device"
        constraints = [models.UniqueConstraint(fields=["user", "kind", "digest"], name="known_device_once")]


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


class SigningKey(models.Model):
    """The private half of a verification key, encrypted with a key that only the user service has.

    It is deleted when another key signs in its place.
    """

    kid = models.CharField(primary_key=True, max_length=43)
    nonce = models.BinaryField(max_length=12)
    ciphertext = models.BinaryField(max_length=1024)
    wrapped_key = models.BinaryField(max_length=128)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "signing_key"
