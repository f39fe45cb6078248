"""Machine keys: made, listed and revoked by their owner; they end with what they rest on."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Max, OuterRef, Q, QuerySet, Subquery

from apps.accounts.errors import EmailNotVerified, MachineKeyExpired, StepUpNeedsMfa, StepUpRequired, TooManyMachineKeys
from apps.accounts.models import User
from apps.core.errors import NotFound
from apps.core.identity import machine_keys
from apps.core.identity.assurance import Assurance
from apps.core.identity.machine_key_format import digest_of_machine_key, new_machine_key
from apps.core.models import KeyScope, MachineKey, MachineKeyUse
from apps.events.store.publish import publish
from apps.messages.user import UserApiKeyCreated, UserApiKeyRevoked

MOST_KEYS = 20
_HINT_LENGTH = 8


@dataclass(frozen=True, repr=False)
class NewMachineKey:
    """The row and the key itself, which cannot be shown again. It has no repr, so that it is never logged."""

    row: MachineKey
    key: str


@transaction.atomic
def machine_key_create(
    *,
    user_id: UUID,
    name: str,
    scopes: Collection[str],
    networks: Collection[str],
    expires_at: datetime | None,
    assurance: Assurance,
    now: datetime,
) -> NewMachineKey:
    """Makes a key. `networks` are normalised CIDR texts; `expires_at` is in UTC.

    Raises EmailNotVerified, StepUpNeedsMfa and StepUpRequired (for `trade:live`), MachineKeyExpired,
    TooManyMachineKeys.
    """
    # The lock makes the count hold beside another creation.
    user = User.objects.select_for_update().get(pk=user_id)
    if user.email_verified_at is None:
        raise EmailNotVerified()
    if KeyScope.TRADE_LIVE in scopes:
        if not assurance.has_mfa:
            raise StepUpNeedsMfa()
        if not assurance.has_fresh_step_up(now=now):
            raise StepUpRequired()
    if expires_at is not None and expires_at <= now:
        raise MachineKeyExpired()
    if _live(now).filter(user_id=user_id).count() >= MOST_KEYS:
        raise TooManyMachineKeys(most=MOST_KEYS)
    key = new_machine_key()
    row = MachineKey.objects.create(
        user_id=user_id,
        name=name,
        hint=key[:_HINT_LENGTH],
        digest=digest_of_machine_key(key),
        scopes=sorted(set(scopes)),
        networks=sorted(set(networks)),
        created_at=now,
        expires_at=expires_at,
    )
    publish(UserApiKeyCreated(user_id=user_id, key_id=row.id, scopes=tuple(row.scopes), expires_at=expires_at), now=now)
    return NewMachineKey(row, key)


def machine_key_list(*, user_id: UUID, now: datetime) -> QuerySet[MachineKey]:
    """A user's live keys, each with `last_used_at`."""
    return with_last_use(_live(now).filter(user_id=user_id))


def with_last_use(keys: QuerySet[MachineKey]) -> QuerySet[MachineKey]:
    """The keys, each with `last_used_at`, which is None for one that was never used."""
    uses = MachineKeyUse.objects.filter(key_id=OuterRef("id")).values("key_id")
    return keys.annotate(last_used_at=Subquery(uses.annotate(last=Max("last_used_at")).values("last")))


@transaction.atomic
def machine_key_revoke(*, key_id: UUID, user_id: UUID, now: datetime) -> None:
    """Raises NotFound."""
    if not _revoke(Q(pk=key_id, user_id=user_id), MachineKey.Ending.REVOKED_BY_USER, now):
        raise NotFound("You have no such machine key, or it has been revoked.")


@transaction.atomic
def machine_key_revoke_by_staff(*, key_ids: Collection[UUID], now: datetime) -> list[UUID]:
    """Returns which of the keys were revoked: not those that had ended before."""
    return _revoke(Q(pk__in=key_ids), MachineKey.Ending.REVOKED_BY_STAFF, now)


def machine_keys_end(*, user_id: UUID, ending: MachineKey.Ending, now: datetime) -> None:
    """Ends a user's keys, in the caller's transaction: all, or where two-factor log-in goes those that trade live."""
    which = Q(user_id=user_id)
    if ending == MachineKey.Ending.MFA_DISABLED:
        which &= Q(scopes__contains=[KeyScope.TRADE_LIVE.value])
    _revoke(which, ending, now)


def _live(now: datetime) -> QuerySet[MachineKey]:
    return MachineKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


def _revoke(which: Q, ending: MachineKey.Ending, now: datetime) -> list[UUID]:
    keys = list(MachineKey.objects.select_for_update().filter(which, revoked_at=None).order_by("id"))
    for key in keys:
        MachineKey.objects.filter(pk=key.id).update(revoked_at=now, revoked_reason=ending)
        publish(UserApiKeyRevoked(user_id=key.user_id, key_id=key.id, reason=ending.value), now=now)
    transaction.on_commit(machine_keys.forget)
    return [key.id for key in keys]
