"""Sessions and the rotation of their refresh tokens.

A session has exactly one valid refresh token; exchanging it issues the next one. A token that comes back after its
exchange was copied. It is unknown which copy is the owner's, so the whole session ends.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts.client_info import ClientInfo
from apps.accounts.errors import RefreshRefused, RefreshSuperseded
from apps.accounts.models import OutgoingMail, User, UserSession
from apps.accounts.services.mail import mail_queue
from apps.accounts.services.mfa import mfa_is_enabled
from apps.accounts.tokens import Holder, RefreshClaims, TokenPair, digest_of, mint, new_token_id, read_refresh
from apps.core.errors import NotFound
from apps.core.ids import new_id
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated

log = structlog.get_logger(__name__)

# Absolute lifetime of a session, however often it is refreshed.
LONGEST_SESSION = timedelta(days=90)


@dataclass(frozen=True)
class _Refused:
    error: type[RefreshRefused] | type[RefreshSuperseded]


def session_start(*, user: User, method: UserSession.Method, client: ClientInfo, now: datetime) -> TokenPair:
    """Opens a session, in the caller's transaction."""
    refresh_id = new_token_id()
    session = UserSession.objects.create(
        id=new_id(),
        user=user,
        token_digest=digest_of(refresh_id),
        method=method,
        created_at=now,
        last_used_at=now,
        expires_at=now + settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"],
        address=client.address,
        user_agent=client.user_agent,
    )
    return _tokens(session, user, refresh_id, now)


def session_refresh(*, token: str, client: ClientInfo, now: datetime) -> TokenPair:
    """Exchanges a refresh token for a new pair. `now` is when the request arrived.

    Of concurrent requests with the same token exactly one succeeds; the others raise RefreshSuperseded. A token that
    comes back after its exchange ends the session and raises RefreshRefused.
    """
    outcome = _rotate(read_refresh(token), client, now)
    if isinstance(outcome, _Refused):
        raise outcome.error()
    return outcome


@transaction.atomic
def _rotate(claims: RefreshClaims, client: ClientInfo, now: datetime) -> TokenPair | _Refused:
    # Refusals are returned, not raised: the end of a replayed session must be committed.
    session = (
        UserSession.objects.select_for_update(of=("self",)).select_related("user").filter(pk=claims.session_id).first()
    )
    if session is None or session.revoked_at is not None or session.expires_at <= now or not session.user.is_active:
        return _Refused(RefreshRefused)
    if bytes(session.token_digest) != claims.token_digest:
        return _refuse_used_token(session, claims, now)

    refresh_id = new_token_id()
    session.previous_digest, session.token_digest = session.token_digest, digest_of(refresh_id)
    # The current time, not `now`: a request that arrived before this moment cannot have known the new token.
    session.rotated_at = timezone.now()
    session.last_used_at = now
    session.expires_at = min(now + settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"], session.created_at + LONGEST_SESSION)
    session.address, session.user_agent = client.address, client.user_agent
    session.save()
    return _tokens(session, session.user, refresh_id, now)


def _refuse_used_token(session: UserSession, claims: RefreshClaims, now: datetime) -> _Refused:
    was_the_last = session.previous_digest is not None and bytes(session.previous_digest) == claims.token_digest
    if was_the_last and session.rotated_at is not None and now <= session.rotated_at:
        return _Refused(RefreshSuperseded)
    log.warning("refresh_token_replayed", session_id=str(session.id), user_id=str(session.user_id))
    _end(Q(pk=session.pk), UserSession.Ending.TOKEN_REPLAYED, now)
    publish(UserUpdated(user_id=session.user_id, changed=("sessions",)), now=now)
    mail_queue(kind=OutgoingMail.Kind.SESSION_REVOKED, email=session.user.email, now=now)
    return _Refused(RefreshRefused)


def session_log_out(*, token: str, now: datetime) -> None:
    """Ends the session of a refresh token. Idempotent. Raises RefreshRefused for an invalid token."""
    claims = read_refresh(token)
    _end(Q(pk=claims.session_id), UserSession.Ending.LOGGED_OUT, now)


def session_end(*, session_id: UUID, user_id: UUID, ending: UserSession.Ending, now: datetime) -> None:
    """Ends one of a user's live sessions. Raises NotFound."""
    if not _end(Q(pk=session_id, user_id=user_id, expires_at__gt=now), ending, now):
        raise NotFound("You have no such session, or it has ended.")


def sessions_end_all(*, user_id: UUID, ending: UserSession.Ending, now: datetime, spare: UUID | None = None) -> int:
    """Ends all of a user's sessions except `spare`. Returns how many ended."""
    which = Q(user_id=user_id)
    return _end(which & ~Q(pk=spare) if spare else which, ending, now)


def _end(which: Q, ending: UserSession.Ending, now: datetime) -> int:
    return UserSession.objects.filter(which, revoked_at=None).update(revoked_at=now, revoked_reason=ending)


def _tokens(session: UserSession, user: User, refresh_id: str, now: datetime) -> TokenPair:
    holder = holder_of(user, session_id=session.id)
    return mint(holder=holder, refresh_id=refresh_id, refresh_expires_at=session.expires_at, now=now)


def holder_of(user: User, *, session_id: UUID) -> Holder:
    """What an access token of this session says of the user now."""
    return Holder(
        user_id=user.id,
        session_id=session_id,
        roles=user.roles,
        has_verified_email=user.email_verified_at is not None,
        has_mfa=mfa_is_enabled(user_id=user.id),
    )
