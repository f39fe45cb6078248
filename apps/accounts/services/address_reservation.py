"""Reserved addresses: while a change of an address can be reverted, no other account gets the old one."""

from datetime import datetime

from apps.accounts.models import EmailChange, User


def reservation_of(email: str, *, now: datetime) -> EmailChange | None:
    """The change that reserves an address for its account, the latest to end. `email` is normalised.

    Ask after the row with the address is written, in its transaction: the unique constraint made that write wait for a
    change under way, so that the change is seen here.
    """
    changed = EmailChange.objects.filter(old_email=email, state=EmailChange.State.CHANGED, revert_expires_at__gt=now)
    return changed.order_by("-revert_expires_at").first()


def is_reserved_for_another(user: User, *, now: datetime) -> bool:
    """Whether the address that this account was just given is reserved for another one. See `reservation_of`."""
    reservation = reservation_of(user.email, now=now)
    return reservation is not None and reservation.user_id != user.pk
