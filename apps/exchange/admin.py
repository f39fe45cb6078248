from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
from apps.exchange.models import ExchangeBudget, ExchangeNonce


@admin.register(ExchangeNonce)
class ExchangeNonceAdmin(ReadOnlyAdmin):
    list_display = ("key_digest", "last_nonce", "used_at")
    ordering = ("-used_at",)


@admin.register(ExchangeBudget)
class ExchangeBudgetAdmin(ReadOnlyAdmin):
    list_display = ("key_digest", "scope", "points", "counted_at", "blocked_until")
    ordering = ("key_digest", "scope")
