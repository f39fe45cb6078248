"""Events about accounts and onboarding. They contain no name or address, because events are never deleted."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from apps.messages.base import Event
from apps.messages.topics import ONBOARDING_EVENTS, USER_EVENTS


class UserCreated(Event, name="user.created", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    user_id: UUID
    roles: tuple[str, ...]
    created_at: datetime


class UserUpdated(Event, name="user.updated", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    user_id: UUID
    changed: tuple[str, ...]


class UserDisabled(Event, name="user.disabled", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """The account may not log in any more, and its bots send no order."""

    user_id: UUID
    disabled_at: datetime


class UserEnabled(Event, name="user.enabled", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    user_id: UUID
    enabled_at: datetime


class UserClosed(Event, name="user.closed", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """The owner has closed the account for good. Its bots send no order, and its personal data is being erased.

    `abandons`: the owner gave up what bots held; otherwise none held anything when that was asked.
    """

    user_id: UUID
    abandons: bool
    closed_at: datetime


class UserDataExported(Event, name="user.data_exported", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """An archive of everything that the platform holds of the user was made for the user."""

    user_id: UUID
    export_id: UUID
    rows: int
    size_bytes: int


class UserLoggedIn(Event, name="user.logged_in", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    user_id: UUID
    session_id: UUID
    method: Literal["password", "password_and_otp"]


class UserLoggedInByPasskey(
    Event, name="user.logged_in", version=2, topic=USER_EVENTS.name, aggregate="user", key="user_id"
):
    """A log-in with a passkey: possession and the authenticator's own check of its user, two factors in one."""

    user_id: UUID
    session_id: UUID
    method: Literal["passkey"] = "passkey"
    passkey_id: UUID


class UserSteppedUp(Event, name="user.stepped_up", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """A logged-in user proved the second factor again, for a call that puts real money at risk."""

    user_id: UUID
    session_id: UUID
    method: Literal["otp"]


class UserSteppedUpOtherwise(
    Event, name="user.stepped_up", version=2, topic=USER_EVENTS.name, aggregate="user", key="user_id"
):
    """A step-up by passkey, or by password where the account has no second factor."""

    user_id: UUID
    session_id: UUID
    method: Literal["passkey", "password"]


class PasskeyAdded(Event, name="user.passkey.added", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    user_id: UUID
    passkey_id: UUID


class PasskeyRenamed(Event, name="user.passkey.renamed", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    user_id: UUID
    passkey_id: UUID


class PasskeyRemoved(Event, name="user.passkey.removed", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    user_id: UUID
    passkey_id: UUID


class PasskeyCopied(Event, name="user.passkey.copied", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """A signed answer was refused: its counter is not above the last one, as where a copy of the passkey exists."""

    user_id: UUID
    passkey_id: UUID
    last_count: int
    shown_count: int


class UserApiKeyCreated(Event, name="user.api_key.created", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """A machine key was made. `scopes`: `read`, `trade:paper`, `trade:live`."""

    user_id: UUID
    key_id: UUID
    scopes: tuple[str, ...]
    expires_at: datetime | None


class UserApiKeyRevoked(Event, name="user.api_key.revoked", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """`reason`: `revoked_by_user`, `access_changed` or `mfa_disabled`."""

    user_id: UUID
    key_id: UUID
    reason: str


class UserApiKeyUsedFromNewAddress(
    Event, name="user.api_key.used_from_new_address", topic=USER_EVENTS.name, aggregate="user", key="user_id"
):
    """The key was used from a network that it had not been used from before; its first use is one, too."""

    user_id: UUID
    key_id: UUID


class UserEmailChangeRequested(
    Event, name="user.email.change_requested", topic=USER_EVENTS.name, aggregate="user", key="user_id"
):
    """Both addresses got a mail. No event says which they are."""

    user_id: UUID
    change_id: UUID


class UserEmailChanged(Event, name="user.email.changed", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """The new address was confirmed, and is the account's."""

    user_id: UUID
    change_id: UUID


class UserEmailReverted(Event, name="user.email.reverted", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """The old address took the change back. Every session ended, and the password is void."""

    user_id: UUID
    change_id: UUID


class UserMfaRemovalRequested(
    Event, name="user.mfa.removal_requested", topic=USER_EVENTS.name, aggregate="user", key="user_id"
):
    """A member of staff asked to remove a lost second factor. Another one has to consent."""

    user_id: UUID
    removal_id: UUID
    requested_by: UUID


class UserMfaRemoved(Event, name="user.mfa.removed", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """Two members of staff removed a lost second factor. Every session ended."""

    user_id: UUID
    removal_id: UUID
    requested_by: UUID
    consented_by: UUID


class OnboardingStepCompleted(
    Event, name="onboarding.step_completed", topic=ONBOARDING_EVENTS.name, aggregate="user", key="user_id"
):
    """A step was completed, or its answer replaced. `step` is profile, terms, risk_profile, exchange_key or first_bot.

    `terms_version` says which terms were accepted, with the step terms.
    """

    user_id: UUID
    step: str
    terms_version: str | None


class OnboardingCompleted(
    Event, name="onboarding.completed", topic=ONBOARDING_EVENTS.name, aggregate="user", key="user_id"
):
    user_id: UUID
    completed_at: datetime
