"""What people change about themselves."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.accounts.models import OneTimeToken, User
from apps.accounts.services.one_time_tokens import token_redeem
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated


@transaction.atomic
def profile_update(*, user_id: UUID, changes: dict[str, str], now: datetime) -> User:
    """Sets `name` and `time_zone` (IANA name), whichever is given. Announces what is different, if anything is."""
    user = User.objects.select_for_update().get(pk=user_id)
    changed = user_apply(user, changes)
    if changed:
        publish(UserUpdated(user_id=user.id, changed=changed), now=now)
    return user


def user_apply(user: User, changes: Mapping[str, object]) -> tuple[str, ...]:
    """Saves the fields that differ and returns their names, in order."""
    changed = tuple(sorted(name for name, value in changes.items() if getattr(user, name) != value))
    for name in changed:
        setattr(user, name, changes[name])
    if changed:
        user.save(update_fields=changed)
    return changed


@transaction.atomic
def email_verify(*, token: str, now: datetime) -> None:
    """Notes that the address is the user's own. Raises TokenNotValid."""
    user = token_redeem(token=token, purpose=OneTimeToken.Purpose.VERIFY_EMAIL, now=now)
    if user.email_verified_at is None:
        user_apply(user, {"email_verified_at": now})
        publish(UserUpdated(user_id=user.id, changed=("email_verified_at",)), now=now)
