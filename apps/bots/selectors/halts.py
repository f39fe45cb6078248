"""Halts that concern a user: of their bots, their keys, themselves, and of the platform."""

from uuid import UUID

from django.db.models import Q, QuerySet

from apps.risk.errors import HaltNotFound
from apps.risk.models.halts import Halt, HaltScope


def halt_list(*, user_id: UUID, in_force: bool | None = True) -> QuerySet[Halt]:
    """The halts in force; the lifted ones with `in_force` False, and both with None."""
    halts = Halt.objects.filter(Q(user_id=user_id) | Q(scope=HaltScope.PLATFORM))
    return halts if in_force is None else halts.filter(lifted_at__isnull=in_force)


def halt_get(*, halt_id: UUID, user_id: UUID) -> Halt:
    """Raises HaltNotFound."""
    halt = halt_list(user_id=user_id, in_force=None).filter(id=halt_id).first()
    if halt is None:
        raise HaltNotFound("There is no such halt.")
    return halt
