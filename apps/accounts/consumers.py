"""Kafka consumers: what may be an attack becomes a notice for staff, and for the owner where nothing else mails it."""

from django.utils import timezone

from apps.accounts.models import SecurityNotice
from apps.accounts.services.security_notices import Occurrence, security_notice_add
from apps.core.terms import Mode
from apps.events.consumers.registry import consumes
from apps.messages.base import Message
from apps.messages.definitions import BotCreated
from apps.messages.envelope import Envelope
from apps.messages.kraken import KrakenKeyConnected, KrakenKeyDisconnected, KrakenKeyUpdated
from apps.messages.live_trading import LiveTradingSwitched
from apps.messages.security import (
    NetworkLockedOut,
    UnknownLogInsFailed,
    UserLockedOut,
    UserLogInFailed,
    UserMfaDisabled,
    UserMfaEnabled,
    UserNewDevice,
    UserRecoveryCodeUsed,
    UserStepUpFailed,
)
from apps.messages.user import (
    PasskeyAdded,
    PasskeyCopied,
    PasskeyRemoved,
    UserApiKeyCreated,
    UserApiKeyUsedFromNewAddress,
    UserMfaRemovalRequested,
    UserMfaRemoved,
)

SECURITY = "security"

Kind = SecurityNotice.Kind

KINDS: dict[type[Message], SecurityNotice.Kind] = {
    UserNewDevice: Kind.NEW_DEVICE,
    UserMfaEnabled: Kind.SECOND_FACTOR_CHANGED,
    UserMfaDisabled: Kind.SECOND_FACTOR_CHANGED,
    UserMfaRemovalRequested: Kind.SECOND_FACTOR_CHANGED,
    UserMfaRemoved: Kind.SECOND_FACTOR_CHANGED,
    UserRecoveryCodeUsed: Kind.SECOND_FACTOR_CHANGED,
    PasskeyAdded: Kind.SECOND_FACTOR_CHANGED,
    PasskeyRemoved: Kind.SECOND_FACTOR_CHANGED,
    PasskeyCopied: Kind.SECOND_FACTOR_COPIED,
    KrakenKeyConnected: Kind.EXCHANGE_KEY_CHANGED,
    KrakenKeyDisconnected: Kind.EXCHANGE_KEY_CHANGED,
    UserApiKeyCreated: Kind.MACHINE_KEY_CHANGED,
    UserApiKeyUsedFromNewAddress: Kind.MACHINE_KEY_CHANGED,
    UserStepUpFailed: Kind.LOG_INS_FAILED,
    NetworkLockedOut: Kind.NETWORK_LOCKED_OUT,
}


def _note(
    kind: SecurityNotice.Kind, envelope: Envelope, message: Message, *, times: int = 1, is_enough: bool = False
) -> None:
    occurrence = Occurrence(
        kind,
        event_id=envelope.event_id,
        at=envelope.occurred_at,
        user_id=getattr(message, "user_id", None),
        times=times,
        is_enough=is_enough,
    )
    security_notice_add(occurrence, now=timezone.now())


# A replay must neither mail anybody again nor open notices that staff have acknowledged.
@consumes(*KINDS, group=SECURITY, has_outside_effects=True)
def note_event(message: Message, envelope: Envelope) -> None:
    _note(KINDS[type(message)], envelope, message)


@consumes(UserLogInFailed, group=SECURITY, has_outside_effects=True)
def note_failed_log_ins(message: UserLogInFailed, envelope: Envelope) -> None:
    _note(Kind.LOG_INS_FAILED, envelope, message, times=message.attempts)


@consumes(UserLockedOut, group=SECURITY, has_outside_effects=True)
def note_lockout(message: UserLockedOut, envelope: Envelope) -> None:
    _note(Kind.LOG_INS_FAILED, envelope, message, is_enough=True)


@consumes(UnknownLogInsFailed, group=SECURITY, has_outside_effects=True)
def note_unknown_log_ins(message: UnknownLogInsFailed, envelope: Envelope) -> None:
    _note(Kind.UNKNOWN_LOG_INS_FAILED, envelope, message, times=message.attempts)


@consumes(KrakenKeyUpdated, group=SECURITY, has_outside_effects=True)
def note_rotation(message: KrakenKeyUpdated, envelope: Envelope) -> None:
    """A key that was replaced; labels and states change by themselves."""
    if "key" in message.changed:
        _note(Kind.EXCHANGE_KEY_CHANGED, envelope, message)


@consumes(BotCreated, group=SECURITY, has_outside_effects=True)
def note_live_bot(message: BotCreated, envelope: Envelope) -> None:
    if message.mode == Mode.LIVE:
        _note(Kind.LIVE_BOT_CREATED, envelope, message)


@consumes(LiveTradingSwitched, group=SECURITY, has_outside_effects=True)
def note_live_switch(message: LiveTradingSwitched, envelope: Envelope) -> None:
    if message.is_on:
        _note(Kind.LIVE_SWITCHED_ON, envelope, message)
