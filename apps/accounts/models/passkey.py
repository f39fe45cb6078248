"""Passkeys (WebAuthn credentials) and the challenges of their ceremonies."""

from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.accounts.models.session import UserSession
from apps.accounts.models.user import User
from apps.core.ids import new_id


class Passkey(models.Model):
    """A WebAuthn credential. Only its public half is here.

    `sign_count` is the highest signature counter that the authenticator has shown; 0 where it has none, as synced
    passkeys. `is_synced`: the authenticator keeps a copy elsewhere (the backup state flag, WebAuthn Level 3, 6.1.3).
    """

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    credential_id = models.BinaryField(max_length=1023, unique=True)
    public_key = models.BinaryField(max_length=2048)
    sign_count = models.BigIntegerField()
    aaguid = models.UUIDField()
    transports = ArrayField(models.CharField(max_length=32), default=list)
    is_synced = models.BooleanField()
    name = models.CharField(max_length=80)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "passkey"
        constraints = [
            models.CheckConstraint(condition=models.Q(sign_count__gte=0), name="passkey_counts_up"),
        ]
        indexes = [models.Index(fields=["user", "-created_at"], name="passkey_of_user")]


class PasskeyChallenge(models.Model):
    """A challenge that waits for its one answer. Only its digest is stored; the answer deletes the row.

    The challenge of a log-in belongs to no session yet; the others belong to the session that asked.
    """

    class Purpose(models.TextChoices):
        REGISTER = "register"
        LOGIN = "login"
        STEP_UP = "step_up"

    digest = models.BinaryField(max_length=32, unique=True)
    purpose = models.CharField(max_length=10, choices=Purpose)
    session = models.ForeignKey(UserSession, on_delete=models.CASCADE, null=True, related_name="+")
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "passkey_challenge"
        constraints = [
            # A session cannot pile up challenges: the next one replaces the one before.
            models.UniqueConstraint(fields=["session", "purpose"], name="passkey_challenge_once_per_session"),
            models.CheckConstraint(
                condition=models.Q(purpose="login", session=None)
                | (~models.Q(purpose="login") & models.Q(session__isnull=False)),
                name="passkey_challenge_belongs_to_a_session",
            ),
        ]
