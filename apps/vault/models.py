"""Exchange keys, encrypted. Decryption needs the vault key, which is in no database role and no backup."""

from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from apps.core.ids import new_id
from apps.core.terms import Mode


class Credential(models.Model):
    """A user's key on an exchange: the encrypted secret, and the key info that the exchange reported last.

    A trigger refuses changes of `mode` and `user_id`, and of a disconnected row. `nonce` belongs to the cipher.
    `key_digest` is the SHA-256 of the key's public half, `key_hint` its last four characters.
    """

    class State(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"
        DISCONNECTED = "disconnected"

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(db_index=True)
    label = models.CharField(max_length=80)
    mode = models.CharField(max_length=5, choices=Mode.choices)
    state = models.CharField(max_length=12, choices=State.choices)
    ciphertext = models.BinaryField(null=True)
    nonce = models.BinaryField(null=True)
    wrapped_key = models.BinaryField(null=True)
    key_id = models.CharField(max_length=16)
    key_digest = models.CharField(max_length=64)
    key_hint = models.CharField(max_length=4)
    permissions = ArrayField(models.CharField(max_length=100), default=list)
    ip_allowlist = ArrayField(models.CharField(max_length=64), default=list)
    nonce_window = models.BigIntegerField(default=0)
    expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    tested_at = models.DateTimeField()
    disconnected_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        db_table = "vault_credential"
        verbose_name = "exchange key"
        constraints = [
            models.UniqueConstraint(
                "user_id", Lower("label"), condition=~Q(state="disconnected"), name="vault_credential_label"
            ),
            models.UniqueConstraint(
                fields=["key_digest"], condition=~Q(state="disconnected"), name="vault_credential_key_once"
            ),
            models.CheckConstraint(condition=Q(mode__in=Mode.values), name="vault_credential_mode"),
            models.CheckConstraint(
                condition=Q(
                    state="disconnected",
                    ciphertext__isnull=True,
                    nonce__isnull=True,
                    wrapped_key__isnull=True,
                    disconnected_at__isnull=False,
                )
                | Q(
                    state__in=["active", "suspended"],
                    ciphertext__isnull=False,
                    nonce__isnull=False,
                    wrapped_key__isnull=False,
                    disconnected_at__isnull=True,
                ),
                name="vault_credential_disconnected_holds_no_secret",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} ({self.mode})"

    @property
    def exchange_mode(self) -> Mode:
        return Mode(self.mode)
