"""Names and removal of passkeys."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.accounts.errors import LastSecondFactor
from apps.accounts.models import MfaDevice, OutgoingMail, Passkey, User
from apps.accounts.services.mail import mail_queue
from apps.accounts.services.step_up import step_up_require
from apps.core.errors import NotFound
from apps.core.identity.assurance import Assurance
from apps.events.store.publish import publish
from apps.messages.user import PasskeyRemoved, PasskeyRenamed


@transaction.atomic
def passkey_rename(*, user_id: UUID, passkey_id: UUID, name: str, now: datetime) -> Passkey:
    """Raises NotFound."""
    passkey = _locked(user_id, passkey_id)
    passkey.name = name
    passkey.save(update_fields=["name"])
    publish(PasskeyRenamed(user_id=user_id, passkey_id=passkey_id), now=now)
    return passkey


@transaction.atomic
def passkey_remove(*, user_id: UUID, passkey_id: UUID, assurance: Assurance, now: datetime) -> None:
    """Removes a passkey that is not the account's only second factor.

    Raises NotFound, StepUpRequired, LastSecondFactor.
    """
    user = User.objects.select_for_update().get(pk=user_id)
    passkey = _locked(user_id, passkey_id)
    step_up_require(user_id=user_id, assurance=assurance, now=now)
    has_authenticator = MfaDevice.objects.filter(user=user, confirmed_at__isnull=False).exists()
    if not has_authenticator and not Passkey.objects.filter(user=user).exclude(pk=passkey_id).exists():
        raise LastSecondFactor()
    passkey.delete()
    publish(PasskeyRemoved(user_id=user_id, passkey_id=passkey_id), now=now)
    mail_queue(kind=OutgoingMail.Kind.PASSKEY_REMOVED, email=user.email, now=now)


def _locked(user_id: UUID, passkey_id: UUID) -> Passkey:
    passkey = Passkey.objects.select_for_update().filter(pk=passkey_id, user_id=user_id).first()
    if passkey is None:
        raise NotFound("You have no such passkey.")
    return passkey
