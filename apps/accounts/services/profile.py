"""Changes that users make to their own account."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.accounts.errors import EmailNotVerified
from apps.accounts.models import User
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated


@transaction.atomic
def profile_update(*, user_id: UUID, changes: dict[str, str], now: datetime) -> User:
    """Sets `name` and `time_zone` (IANA name), whichever is given. Publishes the names of changed fields, if any."""
    user = User.objects.select_for_update().get(pk=user_id)
    changed = user_apply(user, changes)
    if changed:
        publish(UserUpdated(user_id=user.id, changed=changed), now=now)
    return user


def email_require_verified(user: User) -> None:
    """Raises EmailNotVerified. For settings that would keep the address's owner out, or outlast a new password."""
    if user.email_verified_at is None:
        raise EmailNotVerified()


def user_apply(user: User, changes: Mapping[str, object]) -> tuple[str, ...]:
    """Saves the fields that differ. Returns their names, sorted."""
    changed = tuple(sorted(name for name, value in changes.items() if getattr(user, name) != value))
    for name in changed:
        setattr(user, name, changes[name])
    if changed:
        user.save(update_fields=changed)
    return changed
