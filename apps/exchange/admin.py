from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
from apps.exchange.models import ExchangeNonce


@admin.register(ExchangeNonce)
class ExchangeNonceAdmin(ReadOnlyAdmin):
    list_display = ("key_digest", "last_nonce", "used_at")
    ordering = ("-used_at",)
