"""Sessions and the rotation of their refresh tokens.

A session has exactly one valid refresh token; exchanging it issues the next one. A token that comes back long after its
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

from apps.accounts.errors import RefreshRefused, RefreshSuperseded
from apps.accounts.models import OutgoingMail, User, UserSession
from apps.accounts.services.machine_keys import machine_keys_end
from apps.accounts.services.mail import mail_queue
from apps.accounts.services.mfa import mfa_is_enabled
from apps.accounts.tokens import (
    Holder,
    RefreshClaims,
    TokenPair,
    digest_of,
    mint,
    new_token_id,
    read_refresh,
    successor_id,
)
from apps.core.api.idempotency import key_reused
from apps.core.errors import NotFound, PlatformError
from apps.core.identity.actor import identify_actor
from apps.core.identity.client_info import ClientInfo
from apps.core.identity.principal import account_actor
from apps.core.identity.revocations import sessions_revoke
from apps.core.ids import new_id
from apps.core.models import MachineKey
from apps.events.store.publish import publish
from apps.messages.security import UserLoggedOut, UserSessionEnded
from apps.messages.user import UserUpdated

log = structlog.get_logger(__name__)

# Absolute lifetime of a session, however often it is refreshed.
LONGEST_SESSION = timedelta(days=90)

# Sessions end and the machine keys stay: each of them was made by somebody who had proved the address, is listed, and
# may be revoked by itself. Any other end of all sessions ends them, too.
_MACHINE_KEYS_STAY = (
    UserSession.Ending.PASSWORD_CHANGED,
    UserSession.Ending.MFA_ENABLED,
    UserSession.Ending.ENDED_BY_STAFF,
    UserSession.Ending.ENDED_BY_USER,
    UserSession.Ending.LOGGED_OUT,
    UserSession.Ending.TOKEN_REPLAYED,
    UserSession.Ending.SESSION_LIMIT,
)


# A client whose answer was lost, or with several requests under way, sends the token that was just exchanged again.
REUSE_WINDOW = timedelta(seconds=30)


@dataclass(frozen=True, repr=False)
class Refreshed:
    """A pair of tokens. `is_repeated`: the exchange had happened before, and this is its answer again."""

    pair: TokenPair
    is_repeated: bool


def session_start(*, user: User, method: UserSession.Method, client: ClientInfo, now: datetime) -> TokenPair:
    """Opens a session, in the caller's transaction, which has locked the user.

    Where the account then has more than SESSIONS_PER_USER, those used longest ago end: a lost device, or a client
    that never logs out, must not keep the user from logging in.
    """
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
    _end_surplus(user, session, now)
    return _tokens(session, user, refresh_id, now)


def _end_surplus(user: User, opened: UserSession, now: datetime) -> None:
    others = UserSession.objects.filter(user=user, revoked_at=None, expires_at__gt=now).exclude(pk=opened.pk)
    kept = settings.SESSIONS_PER_USER - 1
    surplus = list(others.order_by("-last_used_at", "-created_at", "-id").values_list("pk", flat=True)[kept:])
    if surplus:
        _end(Q(pk__in=surplus), UserSession.Ending.SESSION_LIMIT, now)


def session_refresh(*, token: str, client: ClientInfo, now: datetime, idempotency_key: str = "") -> Refreshed:
    """Exchanges a refresh token for a new pair. `now` is when the request arrived.

    The token that was exchanged last gets the same successor again, within REUSE_WINDOW of its exchange, or at any time
    with the Idempotency-Key of its exchange. Any other token that was exchanged before ends the session.
    Raises RefreshRefused, RefreshSuperseded, IdempotencyKeyReused.
    """
    outcome = _rotate(read_refresh(token), client, now, digest_of(idempotency_key) if idempotency_key else None)
    if isinstance(outcome, PlatformError):
        raise outcome
    return outcome


@transaction.atomic
def _rotate(claims: RefreshClaims, client: ClientInfo, now: datetime, key: bytes | None) -> Refreshed | PlatformError:
    # Refusals are returned, not raised: the end of a replayed session must be committed.
    session = (
        UserSession.objects.select_for_update(of=("self",)).select_related("user").filter(pk=claims.session_id).first()
    )
    if session is None or session.revoked_at is not None or session.expires_at <= now or not session.user.is_active:
        return RefreshRefused()
    refresh_id = successor_id(session_id=session.id, token_id=claims.token_id)
    if bytes(session.token_digest) != claims.token_digest:
        return _exchange_again(session, claims, refresh_id, now, key)
    if key is not None and session.rotated_by is not None and bytes(session.rotated_by) == key:
        return key_reused()

    session.previous_digest, session.token_digest = session.token_digest, digest_of(refresh_id)
    # The current time, not `now`: the request may have waited for another one.
    session.rotated_at, session.rotated_by = timezone.now(), key
    session.last_used_at = now
    session.expires_at = min(now + settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"], session.created_at + LONGEST_SESSION)
    session.address, session.user_agent = client.address, client.user_agent
    session.save()
    return Refreshed(_tokens(session, session.user, refresh_id, now), is_repeated=False)


def _exchange_again(
    session: UserSession, claims: RefreshClaims, refresh_id: str, now: datetime, key: bytes | None
) -> Refreshed | PlatformError:
    """The answer to a token that is not the valid one."""
    was_the_last = session.previous_digest is not None and bytes(session.previous_digest) == claims.token_digest
    is_the_same_request = key is not None and session.rotated_by is not None and bytes(session.rotated_by) == key
    was_just_exchanged = session.rotated_at is not None and now <= session.rotated_at + REUSE_WINDOW
    if was_the_last and (was_just_exchanged or is_the_same_request):
        if digest_of(refresh_id) != bytes(session.token_digest):
            return RefreshSuperseded()  # the secret that successors are derived from was changed in between
        return Refreshed(_tokens(session, session.user, refresh_id, now), is_repeated=True)
    log.warning("refresh_token_replayed", session_id=str(session.id), user_id=str(session.user_id))
    _end(Q(pk=session.pk), UserSession.Ending.TOKEN_REPLAYED, now)
    publish(UserUpdated(user_id=session.user_id, changed=("sessions",)), now=now)
    mail_queue(kind=OutgoingMail.Kind.SESSION_REVOKED, email=session.user.email, now=now)
    return RefreshRefused()


def session_log_out(*, token: str, now: datetime) -> None:
    """Ends the session of a refresh token. Idempotent. Raises RefreshRefused for an invalid token."""
    claims = read_refresh(token)
    session = UserSession.objects.select_related("user").filter(pk=claims.session_id).first()
    if session is None:
        return
    user = session.user
    identify_actor(account_actor(user_id=user.id, roles=user.roles, session_id=session.pk))
    _end(Q(pk=session.pk), UserSession.Ending.LOGGED_OUT, now)


def session_end(*, session_id: UUID, user_id: UUID, ending: UserSession.Ending, now: datetime) -> None:
    """Ends one of a user's live sessions. Raises NotFound."""
    if not _end(Q(pk=session_id, user_id=user_id, expires_at__gt=now), ending, now):
        raise NotFound("You have no such session, or it has ended.")


def sessions_end_all(*, user_id: UUID, ending: UserSession.Ending, now: datetime, spare: UUID | None = None) -> int:
    """Ends all of a user's sessions except `spare`. Returns how many ended.

    Where the account's access changes, its machine keys end, too.
    """
    if ending not in _MACHINE_KEYS_STAY:
        machine_keys_end(user_id=user_id, ending=MachineKey.Ending.ACCESS_CHANGED, now=now)
    which = Q(user_id=user_id)
    return _end(which & ~Q(pk=spare) if spare else which, ending, now)


@transaction.atomic
def _end(which: Q, ending: UserSession.Ending, now: datetime) -> int:
    """Ends live sessions, for every service, and announces it. Returns how many ended."""
    live = UserSession.objects.select_for_update().filter(which, revoked_at=None).order_by("user_id", "id")
    ended = list(live.values_list("id", "user_id"))
    ids = [session_id for session_id, _ in ended]
    UserSession.objects.filter(pk__in=ids).update(revoked_at=now, revoked_reason=ending)
    sessions_revoke(session_ids=ids, now=now)
    for session_id, user_id in ended:
        if ending == UserSession.Ending.LOGGED_OUT:
            publish(UserLoggedOut(user_id=user_id, session_id=session_id), now=now)
        publish(UserSessionEnded(user_id=user_id, session_id=session_id, reason=ending.value), now=now)
    return len(ended)


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
