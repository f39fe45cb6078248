"""Known devices: devices and networks from which an account logged in, so that strangers' failures do not lock it out.

A client is known by the device token that a log-in answered it and that it sends with the next one, or by its network.
The token is no credential: it does not replace the password, it only has an attempt counter of its own.
"""

import secrets
from datetime import datetime, timedelta

from apps.accounts.models import KnownDevice, OutgoingMail, User
from apps.accounts.services.mail import mail_queue
from apps.accounts.tokens import digest_of
from apps.core.identity.client_info import ClientInfo
from apps.core.identity.networks import network_of
from apps.events.store.publish import publish
from apps.messages.security import UserNewDevice

# Unused for longer, a device or network is unknown again.
REMEMBERED = {KnownDevice.Kind.TOKEN: timedelta(days=90), KnownDevice.Kind.NETWORK: timedelta(days=30)}

# Of each kind and account: a client that never sends its token gets another one with each log-in.
MOST_REMEMBERED = 20


def device_token_is_known(*, email: str, token: str, now: datetime) -> bool:
    """Whether a log-in to this account answered the token. `email` is normalised; it may have no account."""
    return bool(token) and _is_known(email, KnownDevice.Kind.TOKEN, token, now)


def network_is_known(*, email: str, address: str | None, now: datetime) -> bool:
    """Whether the account was logged in to from this network lately. `email` may have no account."""
    return address is not None and _is_known(email, KnownDevice.Kind.NETWORK, network_of(address), now)


def device_remember(*, user: User, client: ClientInfo, device_token: str, now: datetime) -> str:
    """Remembers network and device of a successful log-in. Returns the device's token: a new one for a new device.

    The owner gets a mail where neither device nor network is known, and it is published, except at the first log-in.
    Call it before the log-in is entered in `last_login`.
    """
    is_known = device_token_is_known(email=user.email, token=device_token, now=now)
    if not (is_known or user.last_login is None or network_is_known(email=user.email, address=client.address, now=now)):
        mail_queue(kind=OutgoingMail.Kind.NEW_DEVICE, email=user.email, now=now)
        publish(UserNewDevice(user_id=user.id), now=now)
    network_remember(user=user, address=client.address, now=now)
    if not is_known:
        device_token = secrets.token_urlsafe(32)
    _remember(user, KnownDevice.Kind.TOKEN, device_token, now)
    return device_token


def network_remember(*, user: User, address: str | None, now: datetime) -> None:
    """Remembers the network of a caller who proved to be the owner."""
    if address is not None:
        _remember(user, KnownDevice.Kind.NETWORK, network_of(address), now)


def devices_forget(*, user: User) -> None:
    """Forgets every device and network, where one of them may have been a stranger's."""
    KnownDevice.objects.filter(user=user).delete()


def _is_known(email: str, kind: KnownDevice.Kind, subject: str, now: datetime) -> bool:
    return KnownDevice.objects.filter(
        user__email=email, kind=kind, digest=digest_of(subject), last_used_at__gt=now - REMEMBERED[kind]
    ).exists()


def _remember(user: User, kind: KnownDevice.Kind, subject: str, now: datetime) -> None:
    _, is_new = KnownDevice.objects.update_or_create(
        user=user, kind=kind, digest=digest_of(subject), defaults={"last_used_at": now}
    )
    if is_new:
        newest = KnownDevice.objects.filter(user=user, kind=kind).order_by("-last_used_at", "-id")
        KnownDevice.objects.filter(pk__in=list(newest.values_list("pk", flat=True)[MOST_REMEMBERED:])).delete()
