"""Proof of an e-mail address: anybody can register any address, and only its owner reads the mail that goes there.

Until the address is proved, the account belongs to the person who knows its password. The person who proves it may be
another one, who must inherit nothing: neither password, second factor, session and key, nor bots and settings in any
service.
So that person gets a new account, and the unproven one is disabled and loses the address.
"""

from datetime import datetime

import structlog
from django.contrib.auth.hashers import make_password

from apps.accounts.models import User, UserSession
from apps.accounts.services.sessions import sessions_end_all
from apps.core.identity.principal import Role
from apps.core.ids import new_id
from apps.events.store.publish import publish
from apps.messages.user import UserCreated, UserDisabled, UserUpdated

log = structlog.get_logger(__name__)

# Reserved: no mail is ever delivered there (RFC 2606).
_NOBODYS_DOMAIN = "unproven.invalid"


def unproven_account_replace(*, unproven: User, password: str | None, now: datetime) -> User:
    """Gives the address of an unproven account to a new one, whose owner has proved it; in the caller's transaction.

    `unproven` is locked by the caller. None as `password` makes an account that needs a new password by mail.
    """
    email = unproven.email
    address_release(unproven=unproven, now=now)
    owner = User.objects.create(
        id=new_id(),
        email=email,
        password=make_password(password),
        email_verified_at=now,
        roles=[Role.TRADER.value],
        created_at=now,
    )
    publish(UserCreated(user_id=owner.id, roles=tuple(owner.roles), created_at=now), now=now)
    log.info("unproven_account_replaced", unproven_user_id=str(unproven.id), user_id=str(owner.id))
    return owner


def address_release(*, unproven: User, now: datetime) -> None:
    """Disables an unproven account and takes the address from it, in the transaction of a caller who locked it."""
    unproven.email, unproven.name, unproven.is_active = f"{unproven.id}@{_NOBODYS_DOMAIN}", "", False
    unproven.set_unusable_password()
    unproven.save(update_fields=["email", "name", "is_active", "password"])
    sessions_end_all(user_id=unproven.id, ending=UserSession.Ending.ACCESS_CHANGED, now=now)
    publish(UserUpdated(user_id=unproven.id, changed=("email", "is_active", "name", "password")), now=now)
    publish(UserDisabled(user_id=unproven.id, disabled_at=now), now=now)
