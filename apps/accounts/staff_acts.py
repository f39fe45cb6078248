"""What staff do on the staff site, as events."""

from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from apps.core.staff_actions import StaffAction, record_staff_actions_with
from apps.events.store.publish import publish
from apps.messages.staff import StaffActed


@transaction.atomic
def staff_act_publish(request: HttpRequest, action: StaffAction) -> None:
    """Publishes it in the name of the member of staff who is logged in."""
    staff: Any = request.user
    event = StaffActed(
        user_id=staff.id,
        page=action.page,
        action=action.action,
        objects=action.objects,
        count=action.count,
        changed=action.changed,
        reason=action.reason,
    )
    publish(event, now=timezone.now())


record_staff_actions_with(staff_act_publish)
