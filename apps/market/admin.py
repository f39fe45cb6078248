from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
from apps.market.models import MarketInstrument


@admin.register(MarketInstrument)
class MarketInstrumentAdmin(ReadOnlyAdmin):
    list_display = ("altname", "symbol", "exchange", "status", "tick_size", "order_minimum", "fetched_at")
    list_filter = ("exchange", "status")
    search_fields = ("altname", "code", "symbol")
    ordering = ("exchange", "altname")
