"""Checkpoints and archived months on the staff site."""

from django.contrib import admin

from apps.audit.models import ArchivedPartition, SignedCheckpoint
from apps.core.admin import ReadOnlyAdmin


@admin.register(SignedCheckpoint)
class SignedCheckpointAdmin(ReadOnlyAdmin):
    list_display = ("tree_size", "sealed_at", "settled_until")
    fields = ("tree_size", "note", "sealed_at", "settled_until")
    ordering = ("-tree_size",)


@admin.register(ArchivedPartition)
class ArchivedPartitionAdmin(ReadOnlyAdmin):
    list_display = ("name", "starts_at", "ends_at", "events", "file_name", "archived_at")
    exclude = ("sha256",)
