"""What the user service holds of an account's owner, for the export. No secret and no digest of one."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db.models import Max, Q

from apps.accounts.models import (
    EmailChange,
    KnownDevice,
    MfaDevice,
    MfaRemoval,
    OutgoingMail,
    Passkey,
    RecoveryCode,
    SecurityNotice,
    User,
    UserSession,
)
from apps.core.batches import in_batches
from apps.core.models import MachineKey, MachineKeyUse
from apps.core.personal_data import Row, Rows, register_exports
from apps.events.models import ClientRecord
from apps.events.store.selectors import user_events

_ADDRESSES = ("old_email", "new_email")


def addresses_of(user_id: UUID) -> set[str]:
    """The account's address, and those that it had or asked for."""
    user = User.objects.get(pk=user_id)
    changes = EmailChange.objects.filter(user_id=user_id).values_list(*_ADDRESSES)
    return {user.email, *(address for change in changes for address in change)}


def _of_user(model: Any, *fields: str, key: str = "id") -> Rows:
    def rows(user_id: UUID) -> Iterator[Row]:
        return in_batches(model.objects.filter(user_id=user_id), *fields, key=(key,))

    return rows


def _account(user_id: UUID) -> Iterator[Row]:
    yield from User.objects.filter(pk=user_id).values(
        "id", "email", "email_verified_at", "name", "time_zone", "roles", "is_active", "created_at", "last_login"
    )


def _mails(user_id: UUID) -> Iterator[Row]:
    """Mail to the account's address since it has it: before, the address may have been another person's."""
    user = User.objects.get(pk=user_id)
    moves = EmailChange.objects.filter(user=user, new_email=user.email, changed_at__isnull=False)
    since = moves.aggregate(last=Max("changed_at"))["last"] or user.created_at
    mine = Q(email=user.email, email_change=None, created_at__gte=since) | Q(email_change__user=user)
    return in_batches(
        OutgoingMail.objects.filter(mine), "id", "kind", "email", "created_at", "sent_at", "attempts", key=("id",)
    )


def _second_factors(user_id: UUID) -> Iterator[Row]:
    for device in MfaDevice.objects.filter(user_id=user_id).values("created_at", "confirmed_at"):
        yield {"kind": "authenticator", **device}
    for code in RecoveryCode.objects.filter(user_id=user_id).order_by("id").values("used_at"):
        yield {"kind": "recovery_code", **code}


def _machine_key_uses(user_id: UUID) -> Iterator[Row]:
    keys = MachineKey.objects.filter(user_id=user_id).values_list("id", flat=True)
    for key_id in keys.order_by("id"):
        uses = MachineKeyUse.objects.filter(key_id=key_id)
        yield from in_batches(uses, "key_id", "network", "first_used_at", "last_used_at", key=("network",))


def _clients(user_id: UUID) -> Iterator[Row]:
    records = ClientRecord.objects.filter(user_id=user_id)
    for record in in_batches(records, "digest", "address", "user_agent", "created_at", key=("created_at", "digest")):
        yield {**record, "digest": bytes(record["digest"]).hex()}


def _activity(user_id: UUID) -> Iterator[Row]:
    """Every event about the account, its keys and its bots, whoever acted. Of others who did only the kind is told."""
    fields = ("event_id", "event_type", "schema_version", "recorded_at", "occurred_at", "aggregate_type",
              "aggregate_id", "correlation_id", "causation_id", "payload", "actor")  # fmt: skip
    for event in in_batches(user_events(user_id=user_id), *fields, key=("recorded_at", "event_id")):
        actor = json.loads(event["actor"] or "{}")
        is_owner = actor.get("id") == str(user_id)
        told = actor if is_owner else {name: actor[name] for name in ("kind",) if name in actor}
        yield {**event, "payload": json.loads(bytes(event["payload"])), "actor": told}


def register() -> None:
    """Registers the sections of the user service's accounts."""
    sections: dict[str, Rows] = {
        "account": _account,
        "sessions": _of_user(
            UserSession, "id", "method", "created_at", "last_used_at", "expires_at", "address", "user_agent",
            "revoked_at", "revoked_reason",
        ),
        "devices": _of_user(KnownDevice, "id", "kind", "last_used_at"),
        "passkeys": _of_user(
            Passkey, "id", "name", "aaguid", "transports", "is_synced", "created_at", "last_used_at"
        ),
        "second_factors": _second_factors,
        "second_factor_removals": _of_user(MfaRemoval, "id", "requested_at", "expires_at", "removed_at"),
        "email_changes": _of_user(
            EmailChange, "id", *_ADDRESSES, "state", "requested_at", "confirm_expires_at", "changed_at",
            "revert_expires_at",
        ),
        "mails": _mails,
        "machine_keys": _of_user(
            MachineKey, "id", "name", "hint", "scopes", "networks", "created_at", "expires_at", "revoked_at",
            "revoked_reason",
        ),
        "machine_key_uses": _machine_key_uses,
        "security_notices": _of_user(
            SecurityNotice, "id", "kind", "count", "first_at", "last_at", "mailed_at", "acknowledged_at"
        ),
        "clients": _clients,
        "activity": _activity,
    }  # fmt: skip
    register_exports("user", sections)
