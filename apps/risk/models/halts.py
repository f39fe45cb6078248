"""Halts: who may not trade now, how strictly, why, and who said so."""

from uuid import UUID

from django.db import models
from django.db.models import Q

from apps.core.ids import new_id
from apps.core.terms import Term


class HaltScope(Term):
    """What a halt covers: one bot, every bot of a key, every bot of a user, or every bot of the platform."""

    BOT = "bot"
    KEY = "key"
    USER = "user"
    PLATFORM = "platform"


class HaltLevel(Term):
    """`reducing`: exits only. `halted`: no order at all. Cancels and reads of the exchange go on under both."""

    REDUCING = "reducing"
    HALTED = "halted"


class HaltSource(Term):
    """Who may set and lift it: the user, staff, or a component of the platform."""

    USER = "user"
    STAFF = "staff"
    SYSTEM = "system"


# The subject of a halt of the whole platform.
PLATFORM_ID = UUID(int=0)


class Halt(models.Model):
    """One halt, from when it was set until it was lifted. A change of level or reason ends it and begins another.

    `subject_id` is the bot's, key's or user's id, and PLATFORM_ID for the platform. `user_id` is the owner of the
    subject. `code` names the cause: one cause has at most one halt in force on a subject, so that two causes neither
    hide nor lift each other's. `set_by` and `lifted_by` are a user id, the name of a member of staff, or a component.
    """

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=new_id, editable=False)
    scope = models.CharField(max_length=8, choices=HaltScope.choices)
    subject_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    user_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    level = models.CharField(max_length=8, choices=HaltLevel.choices)
    source = models.CharField(max_length=6, choices=HaltSource.choices)
    code = models.CharField(max_length=80)
    reason = models.CharField(max_length=500)
    set_by = models.CharField(max_length=200)
    since = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.CharField(max_length=200, blank=True)
    lifted_because = models.CharField(max_length=500, blank=True)

    class Meta:
        db_table = "risk_halt"
        indexes = [models.Index(fields=["user_id", "-since"], name="risk_halt_of_user")]
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "subject_id", "source", "code"],
                condition=Q(lifted_at=None),
                name="risk_halt_one_in_force_a_cause",
            ),
            models.CheckConstraint(condition=Q(scope__in=HaltScope.values), name="risk_halt_scope"),
            models.CheckConstraint(condition=Q(level__in=HaltLevel.values), name="risk_halt_level"),
            models.CheckConstraint(condition=Q(source__in=HaltSource.values), name="risk_halt_source"),
            models.CheckConstraint(
                condition=Q(scope=HaltScope.PLATFORM, subject_id=PLATFORM_ID, user_id=None)
                | (~Q(scope=HaltScope.PLATFORM) & ~Q(subject_id=PLATFORM_ID) & Q(user_id__isnull=False)),
                name="risk_halt_subject",
            ),
            models.CheckConstraint(
                condition=Q(lifted_at=None, lifted_by="") | (Q(lifted_at__isnull=False) & ~Q(lifted_by="")),
                name="risk_halt_lifted",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.level}: {self.reason}"

    @property
    def is_in_force(self) -> bool:
        return self.lifted_at is None
