"""Events about log-in, sessions and proofs of identity. Who caused one, and from where, is its actor."""

from datetime import datetime
from uuid import UUID

from apps.messages.base import Event
from apps.messages.topics import USER_EVENTS


class UserSessionEnded(Event, name="user.session_ended", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """A session ended before it expired: nothing accepts its tokens any more.

    `reason` is a name such as logged_out, token_replayed or password_changed; others may be added.
    """

    user_id: UUID
    session_id: UUID
    reason: str


class UserLoggedOut(Event, name="user.logged_out", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """The user logged out of the session. `user.session_ended` says the same for every way in which one ends."""

    user_id: UUID
    session_id: UUID


class UserLogInFailed(Event, name="user.log_in_failed", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """Somebody failed to log in to the account, `attempts` times from one address and user agent within a minute.

    `door` is api or staff_site. `reason` is password, otp, passkey, disabled, not_staff, or several where the attempts
    differ; others may be added. Then they came from several clients, and the event names none.
    """

    user_id: UUID
    door: str
    reason: str
    attempts: int
    first_at: datetime
    last_at: datetime


class UserLockedOut(Event, name="user.locked_out", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """An attempt was refused because too many had failed; told once for each lock.

    `scope` says who is locked out until then: account_and_network, account (every unknown device), device, and within
    a live session step_up or password.
    """

    user_id: UUID
    door: str
    scope: str
    until: datetime


class NetworkLockedOut(
    Event, name="security.network_locked_out", topic=USER_EVENTS.name, aggregate="lockout", key="lockout_id"
):
    """A network failed at too many different accounts. Its unknown devices are locked out until then."""

    lockout_id: UUID
    door: str
    until: datetime


class UnknownLogInsFailed(
    Event, name="security.unknown_log_ins_failed", topic=USER_EVENTS.name, aggregate="log_in_report", key="report_id"
):
    """What failed within a minute at e-mail addresses without an account, in one event however much it was.

    `addresses` counts e-mail addresses, `networks` networks, `locks` the locks of those addresses,
    `network_locks` locks of networks that have no event of their own.
    """

    report_id: UUID
    attempts: int
    addresses: int
    networks: int
    locks: int
    network_locks: int
    first_at: datetime
    last_at: datetime


class UserNewDevice(Event, name="user.new_device", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """The account was logged in to from a device and a network that were not known; never at its first log-in."""

    user_id: UUID


class UserStepUpFailed(Event, name="user.step_up_failed", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """A proof that was asked for within a session was wrong. `method` is otp, passkey or password."""

    user_id: UUID
    session_id: UUID
    method: str


class UserRecoveryCodeUsed(
    Event, name="user.recovery_code_used", topic=USER_EVENTS.name, aggregate="user", key="user_id"
):
    """A recovery code stood for the authenticator. `left` codes are unused."""

    user_id: UUID
    left: int


class UserMfaEnabled(Event, name="user.mfa.enabled", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """The account got an authenticator, or its first passkey. `method` is otp or passkey."""

    user_id: UUID
    method: str


class UserMfaDisabled(Event, name="user.mfa.disabled", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """The user removed the authenticator, every passkey and the recovery codes."""

    user_id: UUID


class UserPasswordChanged(Event, name="user.password_changed", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """`how`: changed (with the old one), reset (with a mailed code), or set_by_staff; others may be added."""

    user_id: UUID
    how: str


class SecurityNoticeAcknowledged(
    Event,
    name="security.notice_acknowledged",
    topic=USER_EVENTS.name,
    aggregate="security_notice",
    key="notice_id",
):
    """A member of staff has looked at a security notice. It stood for `count` occurrences, from the first event to the
    last one."""

    notice_id: UUID
    kind: str
    count: int
    first_event_id: UUID
    last_event_id: UUID
    staff_id: UUID
    because: str
