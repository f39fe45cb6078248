"""Events about what staff do on the staff site. Session, address and device are those of the actor."""

from uuid import UUID

from apps.messages.base import Event
from apps.messages.topics import USER_EVENTS


class StaffLoggedIn(Event, name="staff.logged_in", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """`session_id` names the staff session and is no secret. Without a second factor it opens only its set-up."""

    user_id: UUID
    session_id: UUID
    has_second_factor: bool


class StaffLoggedOut(Event, name="staff.logged_out", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """`reason`: logged_out, expired (8 hours, or half an hour without a request), or second_factor_set_up_elsewhere."""

    user_id: UUID
    session_id: UUID
    reason: str


class StaffActed(Event, name="staff.acted", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    """A member of staff changed something on the staff site; `user_id` is theirs.

    `page` is the model of the page, such as risk.halt. `action` is add, change, delete, or the name of an action on
    several objects. `objects` are the ids of up to 100 of them, `count` is how many there were. `changed` names fields,
    `reason` is what the form asked for, empty where it asks for none.
    """

    user_id: UUID
    page: str
    action: str
    objects: tuple[str, ...]
    count: int
    changed: tuple[str, ...]
    reason: str
