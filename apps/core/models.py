from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from apps.core.ids import new_id


class IdempotencyRecord(models.Model):
    """The first request of an Idempotency-Key, by fingerprint, and its response. `status` is null until then."""

    scope = models.CharField(max_length=80)
    key = models.CharField(max_length=128)
    fingerprint = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    headers = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "idempotency_record"
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="idempotency_record_scope_key")]


class RevokedSession(models.Model):
    """A session that ended while an access token of it may still be valid, until `expires_at` (UTC).

    Written where sessions end (apps.accounts.services.sessions), read by every service
    (apps/core/identity/revocations.py).
    """

    session_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    expires_at = models.DateTimeField(db_index=True)
    # By the database's clock, which all readers share.
    recorded_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        db_table = "revoked_session"


class VerificationKey(models.Model):
    """A public key of user tokens. The user service alone writes it (apps.accounts.services.signing_keys); all read it.

    A new key is `upcoming` until every verifier knows it, then `signing`. The key before it is `retiring`: it verifies
    until `ends_at`, when the last token that it signed has expired. A row is never deleted, so that a key of the past
    cannot come back.
    """

    class State(models.TextChoices):
        UPCOMING = "upcoming"
        SIGNING = "signing"
        RETIRING = "retiring"

    kid = models.CharField(primary_key=True, max_length=43)
    public_pem = models.TextField()
    state = models.CharField(max_length=10, choices=State)
    published_at = models.DateTimeField()
    signs_from = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "verification_key"
        constraints = [
            models.UniqueConstraint(
                fields=["state"],
                condition=models.Q(state__in=["upcoming", "signing"]),
                name="verification_key_one_upcoming_one_signing",
            ),
            models.CheckConstraint(
                condition=models.Q(state="retiring", ends_at__isnull=False)
                | (~models.Q(state="retiring") & models.Q(ends_at=None)),
                name="verification_key_retiring_ends",
            ),
        ]


class KeyScope(models.TextChoices):
    """What a machine key may do. A key that may trade may read, too."""

    READ = "read"
    TRADE_PAPER = "trade:paper"
    TRADE_LIVE = "trade:live"


class MachineKey(models.Model):
    """A user's key for scripts, by digest. The user service alone writes it; every service verifies with it.

    `networks` are those it may be used from, in CIDR form; empty: from everywhere. A row of a revoked key stays for as
    long as events name it.
    """

    class Ending(models.TextChoices):
        REVOKED_BY_USER = "revoked_by_user", "Revoked by the user"
        REVOKED_BY_STAFF = "revoked_by_staff", "Revoked by staff"
        ACCESS_CHANGED = "access_changed", "Roles were changed, or the account was disabled or closed"
        MFA_DISABLED = "mfa_disabled", "Two-factor log-in was switched off, which live trading needs"

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    name = models.CharField(max_length=80)
    hint = models.CharField(max_length=8)
    digest = models.BinaryField(max_length=32, unique=True)
    scopes = ArrayField(models.CharField(max_length=20, choices=KeyScope))
    networks = ArrayField(models.CharField(max_length=43), default=list)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_reason = models.CharField(max_length=20, choices=Ending, blank=True)

    class Meta:
        db_table = "machine_key"
        indexes = [models.Index(fields=["user_id", "-created_at"], name="machine_key_of_user")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=["read", "trade:paper", "trade:live"])
                & models.Q(scopes__len__gt=0),
                name="machine_key_scopes_are_known",
            ),
            models.CheckConstraint(
                condition=models.Q(revoked_at=None, revoked_reason="")
                | (models.Q(revoked_at__isnull=False) & ~models.Q(revoked_reason="")),
                name="machine_key_revoked_for_a_reason",
            ),
        ]


class MachineKeyUse(models.Model):
    """From which network a machine key was used, and when first and last. Each service writes what it sees."""

    pk = models.CompositePrimaryKey("key_id", "network")
    key_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    network = models.CharField(max_length=43)
    first_used_at = models.DateTimeField()
    last_used_at = models.DateTimeField()

    class Meta:
        db_table = "machine_key_use"


class FigureSample(models.Model):
    """A figure of the platform in five minutes that begin at `slot` (UTC), for the plots of the staff site.

    `value` is the last one, of counts their sum; `least` and `most` are what it was in between. Processes write what
    they measure themselves (apps/core/samples.py); housekeeping deletes after seven days.
    """

    pk = models.CompositePrimaryKey("figure", "label", "slot")
    figure = models.CharField(max_length=60)
    label = models.CharField(max_length=160)
    slot = models.DateTimeField(db_index=True)
    value = models.FloatField()
    least = models.FloatField()
    most = models.FloatField()
    # When `value` was measured.
    at = models.DateTimeField()

    class Meta:
        db_table = "figure_sample"
