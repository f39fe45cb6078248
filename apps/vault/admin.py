"""Exchange keys on the staff site, read-only. Encrypted columns are not loaded."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.core.admin import LargeTableAdmin
from apps.core.staff.references import Related
from apps.vault.models import Credential

ENCRYPTED = ("ciphertext", "nonce", "wrapped_key", "key_digest")


@admin.register(Credential)
class CredentialAdmin(LargeTableAdmin):
    list_display = ("label", "user_id", "id", "mode", "state", "key_hint", "tested_at", "expires_at")
    list_filter = ("mode", "state")
    search_keys = ("pk", "user_id")
    search_help_text = "A whole id, or its owner's e-mail address"
    related = (
        Related("Exchange account", "risk.account"),
        Related("Runs", "trading.botrun"),
        Related("Halts", "risk.halt"),
        Related("Events", "events.storedevent"),
    )
    exclude = ENCRYPTED

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        found: QuerySet[Credential] = super().get_queryset(request).defer(*ENCRYPTED)
        return found
