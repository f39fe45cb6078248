"""Exchange keys on the staff site, read-only. Encrypted columns are not loaded."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.core.admin import ReadOnlyAdmin
from apps.vault.models import Credential

ENCRYPTED = ("ciphertext", "nonce", "wrapped_key", "key_digest")


@admin.register(Credential)
class CredentialAdmin(ReadOnlyAdmin):
    list_display = ("id", "user_id", "label", "mode", "state", "key_hint", "tested_at", "expires_at")
    list_filter = ("mode", "state")
    search_fields = ("=id", "=user_id")
    ordering = ("-created_at",)
    exclude = ENCRYPTED

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        found: QuerySet[Credential] = super().get_queryset(request).defer(*ENCRYPTED)
        return found
