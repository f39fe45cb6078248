from django.urls import include, path

from service_common.urls import common_urls, handler400, handler404, handler500

__all__ = ["handler400", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    *common_urls(),
    path("api/v1/", include("apps.vault.api.urls")),
    path("api/v1/", include("apps.market.api.urls")),
    path("api/v1/", include("apps.bots.api.urls")),
]
