"""One-time tokens: mailed to an account's owner, valid once."""

import secrets
from datetime import datetime, timedelta

from django.db import transaction

from apps.accounts.errors import TokenNotValid
from apps.accounts.models import OneTimeToken, User
from apps.accounts.tokens import digest_of

LIFETIMES = {
    OneTimeToken.Purpose.VERIFY_EMAIL: timedelta(days=3),
    OneTimeToken.Purpose.RESET_PASSWORD: timedelta(hours=1),
}


@transaction.atomic
def token_issue(*, user: User, purpose: OneTimeToken.Purpose, now: datetime) -> str:
    """Issues a token and invalidates earlier ones of the same purpose. Only its digest is stored: mail the token."""
    OneTimeToken.objects.filter(user=user, purpose=purpose, used_at=None).delete()
    token = secrets.token_urlsafe(32)
    OneTimeToken.objects.create(
        user=user, purpose=purpose, digest=digest_of(token), created_at=now, expires_at=now + LIFETIMES[purpose]
    )
    return token


def token_redeem(*, token: str, purpose: OneTimeToken.Purpose, now: datetime) -> User:
    """Consumes a token and locks its owner's row, in the caller's transaction. Raises TokenNotValid."""
    digest = digest_of(token)
    good = OneTimeToken.objects.filter(digest=digest, purpose=purpose, used_at=None, expires_at__gt=now)
    if good.update(used_at=now) != 1:
        raise TokenNotValid()
    user = User.objects.select_for_update().get(pk=OneTimeToken.objects.values("user_id").get(digest=digest)["user_id"])
    if not user.is_active:
        raise TokenNotValid()
    return user
