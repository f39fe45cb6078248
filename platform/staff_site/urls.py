from django.conf import settings
from django.contrib import admin
from django.urls import path

from apps.ops.api.views import PlatformHealthView
from service_common.urls import common_urls, handler400, handler404, handler500

__all__ = ["handler400", "handler404", "handler500", "urlpatterns"]

admin.site.site_title = "Muckard"
admin.site.site_header = "Muckard" if settings.MARKET_DATA else "Muckard · the paper exchange's market is SYNTHETIC"

urlpatterns = [
    *common_urls(),
    path("health/platform", PlatformHealthView.as_view()),
    path("admin/", admin.site.urls),
]
