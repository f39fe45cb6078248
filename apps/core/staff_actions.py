"""What staff do on the staff site, as it is recorded: each add, change and deletion, and each action on a list.

Which event it becomes is registered by the app that publishes it (apps.accounts.staff_acts). Without one nothing can be
changed on the site.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.contrib import messages
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

# Ids of objects in one record, and characters of a reason.
MOST_OBJECTS = 100
LONGEST_REASON = 500
# What forms call the reason that they ask for.
_REASONS = ("reason", "because", "lifted_because")
# Django's own action: it asks first, and then records the deletions.
_RECORDS_ITSELF = "delete_selected"


@dataclass(frozen=True)
class StaffAction:
    """`page` is a model such as risk.halt; `action` is add, change, delete or the name of an action on the list.

    `objects` are at most MOST_OBJECTS of the `count` ids, `changed` the names of fields.
    """

    page: str
    action: str
    objects: tuple[str, ...]
    count: int
    changed: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class ActedOn:
    """What an action on a list returns where it did not act on everything that was selected."""

    objects: tuple[object, ...]


Record = Callable[[HttpRequest, StaffAction], None]
_recorder: Record | None = None


def record_staff_actions_with(record: Record) -> None:
    """`record` is called in the transaction of each action. It replaces the one before."""
    global _recorder  # noqa: PLW0603 (one for the process)
    _recorder = record


def staff_action_record(request: HttpRequest, action: StaffAction) -> None:
    """Raises ImproperlyConfigured where no app records."""
    if _recorder is None:
        raise ImproperlyConfigured("Actions of staff are not recorded: no app has called record_staff_actions_with().")
    _recorder(request, action)


class RecordsActions:
    """Mixin of admins: whatever a page changes is recorded in the transaction that changes it.

    An action on a list needs a reason. A form that was refused (`refusal` of its object) changed nothing. Django's own
    log names objects by id alone: it is never erased, and the text of a row may hold an address.
    """

    opts: Any

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        message = super().construct_change_message(request, form, formsets, add)  # type: ignore[misc]
        if not _is_refused(form.instance):
            given = (str(form.cleaned_data.get(name) or "") for name in _REASONS)
            self._record(
                request,
                "add" if add else "change",
                [form.instance.pk],
                changed=tuple(name for name in form.changed_data if name not in _REASONS),
                reason=next((reason for reason in given if reason), ""),
            )
        return message

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return self._log(request, [obj], "ADDITION", message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None if _is_refused(obj) else self._log(request, [obj], "CHANGE", message)

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Any]) -> Any:
        rows = list(queryset)
        self._record(request, "delete", [row.pk for row in rows])
        return self._log(request, rows, "DELETION", "")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)  # type: ignore[misc]
        return {
            name: (function if name == _RECORDS_ITSELF else self._recorded(function, name), name, description)
            for name, (function, _, description) in actions.items()
        }

    def _recorded(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(function)
        @transaction.atomic
        def run(page: Any, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
            reason = request.POST.get("reason", "").strip()
            if not reason:
                page.message_user(request, "Say why in the field Reason. Nothing was done.", level=messages.ERROR)
                return None
            # Before it runs: afterwards the list may not show them any more.
            selected = list(queryset.values_list("pk", flat=True))
            outcome = function(page, request, queryset)
            objects = outcome.objects if isinstance(outcome, ActedOn) else selected
            if objects:
                self._record(request, name, objects, reason=reason)
            return outcome

        return run

    def _record(
        self,
        request: HttpRequest,
        action: str,
        pks: Iterable[object],
        *,
        changed: tuple[str, ...] = (),
        reason: str = "",
    ) -> None:
        objects = tuple(str(pk) for pk in pks)
        staff_action_record(
            request,
            StaffAction(
                page=str(self.opts.label_lower),
                action=action,
                objects=objects[:MOST_OBJECTS],
                count=len(objects),
                changed=changed,
                reason=reason[:LONGEST_REASON],
            ),
        )

    def _log(self, request: HttpRequest, objects: Iterable[Any], flag: str, message: Any) -> Any:
        # Not above: models are not there yet when this module is imported.
        from django.contrib.admin import models
        from django.contrib.admin.options import get_content_type_for_model

        staff: Any = request.user
        return [
            models.LogEntry.objects.create(
                user_id=staff.pk,
                content_type_id=get_content_type_for_model(obj).pk,
                object_id=str(obj.pk),
                object_repr=str(obj.pk)[:200],
                action_flag=getattr(models, flag),
                change_message=message,
            )
            for obj in objects
        ]


def _is_refused(obj: Any) -> bool:
    return bool(getattr(obj, "refusal", ""))
