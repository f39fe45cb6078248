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


class UserLoggedIn(Event, name="user.logged_in", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    user_id: UUID
    session_id: UUID
    method: Literal["password", "password_and_otp"]


class UserSteppedUp(Event, name="user.stepped_up", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """A logged-in user proved the second factor again, for a call that puts real money at risk."""

    user_id: UUID
    session_id: UUID
    method: Literal["otp"]


class OnboardingCompleted(
    Event, name="onboarding.completed", topic=ONBOARDING_EVENTS.name, aggregate="user", key="user_id"
):
    user_id: UUID
    completed_at: datetime
