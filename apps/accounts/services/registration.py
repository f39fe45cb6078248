"""Registration."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction

from apps.accounts.models import OutgoingMail, User
from apps.accounts.services.address_reservation import is_reserved_for_another
from apps.accounts.services.mail import mail_queue
from apps.accounts.services.passwords import password_require_strong
from apps.core.identity.principal import Role
from apps.core.ids import new_id
from apps.events.store.publish import publish
from apps.messages.user import UserCreated


@dataclass(frozen=True)
class Registration:
    """The response to a registration. It has the same form for a taken address; `id` then belongs to no account."""

    id: UUID
    email: str
    name: str
    time_zone: str
    roles: list[str]
    created_at: datetime


def user_register(*, email: str, password: str, name: str, now: datetime) -> Registration:
    """Creates a trader's account, or mails the owner of a taken address. `email` is normalised.

    A caller cannot tell the two apart, by response or by duration: the password is hashed in both cases.
    Raises PasswordTooWeak.
    """
    user = User(id=new_id(), email=email, name=name, roles=[Role.TRADER.value], created_at=now)
    password_require_strong(password, user=user)
    user.password = make_password(password)
    with transaction.atomic():
        if _insert(user, now):
            publish(UserCreated(user_id=user.id, roles=tuple(user.roles), created_at=now), now=now)
            mail_queue(kind=OutgoingMail.Kind.VERIFY_EMAIL, email=email, now=now)
        else:
            mail_queue(kind=OutgoingMail.Kind.ADDRESS_TAKEN, email=email, now=now)
    return Registration(user.id, email, name, user.time_zone, user.roles, now)


def _insert(user: User, now: datetime) -> bool:
    """Returns False if the address is taken or reserved. The unique constraint decides between concurrent requests."""
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            if is_reserved_for_another(user, now=now):
                transaction.set_rollback(True)
                return False
    except IntegrityError:
        if not User.objects.filter(email=user.email).exists():
            raise
        return False
    return True
