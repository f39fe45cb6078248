"""The event backbone on the staff site, read-only: the audit browser, waiting and failed messages, processes."""

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.admin import LargeTableAdmin, ReadOnlyAdmin
from apps.core.staff.large_lists import Since, one_of
from apps.core.staff.references import Related, link, page_address
from apps.events.consumers.dead_letters import CONSUMER_PREFIX, Filters, store
from apps.events.models import (
    CommandExecution,
    DeadLetter,
    Lease,
    OutboxRow,
    ParkedKey,
    ProcessHeartbeat,
    StoredEvent,
)
from apps.events.outbox import parking
from apps.messages.base import Transport, all_messages


def _event_types() -> list[str]:
    return sorted({each.declaration.name for each in all_messages()})


def _aggregate_types() -> list[str]:
    return sorted({each.declaration.aggregate for each in all_messages()})


# The aggregates of events that have a page.
_PAGES = {"bot": "bots.bot", "user": "accounts.user", "credential": "vault.credential", "halt": "risk.halt"}


@admin.register(StoredEvent)
class StoredEventAdmin(LargeTableAdmin):
    list_display = ("occurred_at", "event_type", "aggregate_type", "aggregate_id", "aggregate_seq", "user_id",
                    "correlation_id")  # fmt: skip
    list_filter = (Since, one_of("event_type", _event_types))
    keysets = {"event_type": ("recorded_at", "event_id")}
    search_keys = ("pk", "correlation_id", "aggregate_id", "user_id")
    search_help_text = "A whole id of an event, of what it is about or of a causal chain, or an e-mail address"
    exclude = ("payload", "hash")
    readonly_fields = ("data", "sha256")
    related = (
        Related("Causal chain", "events.storedevent", "correlation_id"),
        Related("All events of this object", "events.storedevent", "aggregate_id"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[StoredEvent]:
        return super().get_queryset(request).defer("payload", "hash")

    def search_filter(self, lookup: str, value: Any) -> dict[str, Any]:
        """The index of aggregates begins with the type."""
        found = super().search_filter(lookup, value)
        return found | {"aggregate_type__in": _aggregate_types()} if lookup == "aggregate_id" else found

    @admin.display(description="aggregate")
    def aggregate_id(self, row: StoredEvent) -> SafeString:
        page = _PAGES.get(row.aggregate_type)
        return link(page_address(page, row.aggregate_id) if page else None, str(row.aggregate_id))

    @admin.display(description="payload")
    def data(self, row: StoredEvent) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(json.loads(bytes(row.payload)), indent=2))

    @admin.display(description="hash")
    def sha256(self, row: StoredEvent) -> str:
        return bytes(row.hash).hex()


@admin.register(OutboxRow)
class OutboxRowAdmin(LargeTableAdmin):
    list_display = ("id", "event_id", "transport", "destination", "key", "created_at", "attempts", "last_error")
    list_filter = (one_of("transport", lambda: [each.value for each in Transport]),)
    keysets = {"transport": ("pk",)}
    search_keys = ("event_id",)
    search_help_text = "The whole id of its event"


def _operator(request: HttpRequest) -> str:
    staff: Any = request.user
    return str(staff.name or staff.email)


@admin.register(ParkedKey)
class ParkedKeyAdmin(ReadOnlyAdmin):
    """Release a key when the cause is gone: its messages are sent, oldest first."""

    list_display = ("parked_at", "transport", "key", "event_type", "event_id", "reason")
    list_filter = ("transport",)
    search_fields = ("=key", "=event_id")
    ordering = ("-parked_at",)
    actions = ("release",)

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("events.change_parkedkey")

    @admin.action(description="Release the selected keys", permissions=["release"])
    def release(self, request: HttpRequest, parked: QuerySet[ParkedKey]) -> None:
        # A key may be parked for both brokers; its release is for both.
        for key in sorted(set(parked.values_list("key", flat=True))):
            messages_freed = parking.release(key, operator=_operator(request), now=timezone.now())
            self.message_user(request, f"{key}: {messages_freed} messages will be sent.")


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    """Events that a consumer group could not handle. Those of RabbitMQ's queues: `manage.py dead_letters`."""

    list_display = ("created_at", "consumer", "event_type", "key", "event_id", "reason", "attempts", "redriven_at",
                    "error")  # fmt: skip
    list_filter = (("redriven_at", admin.EmptyFieldListFilter), "consumer", "reason")
    search_fields = ("=key", "=event_id")
    ordering = ("-created_at",)
    actions = ("redrive",)

    def has_redrive_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("events.change_deadletter")

    @admin.action(description="Handle again, with all older ones of their keys", permissions=["redrive"])
    def redrive(self, request: HttpRequest, letters: QuerySet[DeadLetter]) -> None:
        waiting = letters.filter(redriven_at=None)
        for consumer, key in sorted(set(waiting.values_list("consumer", "key"))):
            outcome = store.redrive(
                f"{CONSUMER_PREFIX}{consumer}",
                Filters(key=key),
                rate=None,
                dry_run=False,
                operator=_operator(request),
                progress=lambda *_: None,
            )
            level = messages.ERROR if outcome.failed else messages.SUCCESS
            done = f"{outcome.redriven} handled, {outcome.failed} failed again, {outcome.left} left"
            self.message_user(request, f"{consumer} {key}: {done}.", level=level)


@admin.register(CommandExecution)
class CommandExecutionAdmin(LargeTableAdmin):
    list_display = ("first_delivered_at", "command_id", "name", "aggregate_id", "state", "attempts", "worker", "reason")
    list_filter = (Since, "state")
    search_keys = ("pk", "aggregate_id")


@admin.register(Lease)
class LeaseAdmin(ReadOnlyAdmin):
    list_display = ("name", "owner", "epoch", "expires_at")
    ordering = ("name",)


@admin.register(ProcessHeartbeat)
class ProcessHeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "detail", "beat_at", "host", "pid")
    ordering = ("name",)
