"""The event backbone on the staff site, read-only: the audit browser, waiting and failed messages, processes."""

import json

from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
from apps.events.models import (
    CommandExecution,
    DeadLetter,
    Lease,
    OutboxRow,
    ParkedKey,
    ProcessHeartbeat,
    StoredEvent,
)


@admin.register(StoredEvent)
class StoredEventAdmin(ReadOnlyAdmin):
    list_display = ("occurred_at", "event_type", "aggregate_type", "aggregate_id", "aggregate_seq", "user_id")
    list_filter = ("event_type", "aggregate_type")
    search_fields = ("=event_id", "=aggregate_id", "=user_id", "=correlation_id")
    ordering = ("-recorded_at",)
    exclude = ("payload", "hash")
    readonly_fields = ("data", "sha256")

    @admin.display(description="payload")
    def data(self, row: StoredEvent) -> str:
        return json.dumps(json.loads(bytes(row.payload)), indent=2)

    @admin.display(description="hash")
    def sha256(self, row: StoredEvent) -> str:
        return bytes(row.hash).hex()


@admin.register(OutboxRow)
class OutboxRowAdmin(ReadOnlyAdmin):
    list_display = ("id", "transport", "destination", "key", "created_at", "attempts", "last_error")
    list_filter = ("transport", "destination")
    search_fields = ("=event_id", "=key")
    ordering = ("id",)


@admin.register(ParkedKey)
class ParkedKeyAdmin(ReadOnlyAdmin):
    list_display = ("parked_at", "transport", "key", "event_type", "reason")
    list_filter = ("transport",)
    search_fields = ("=key", "=event_id")


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "consumer", "event_type", "key", "reason", "attempts", "redriven_at", "error")
    list_filter = ("consumer", "event_type", "reason")
    search_fields = ("=key", "=event_id")
    ordering = ("-created_at",)


@admin.register(CommandExecution)
class CommandExecutionAdmin(ReadOnlyAdmin):
    list_display = ("first_delivered_at", "name", "aggregate_id", "state", "attempts", "worker", "reason")
    list_filter = ("name", "state")
    search_fields = ("=command_id", "=aggregate_id")
    ordering = ("-first_delivered_at",)


@admin.register(Lease)
class LeaseAdmin(ReadOnlyAdmin):
    list_display = ("name", "owner", "epoch", "expires_at")
    ordering = ("name",)


@admin.register(ProcessHeartbeat)
class ProcessHeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "detail", "beat_at", "host", "pid")
    ordering = ("name",)
