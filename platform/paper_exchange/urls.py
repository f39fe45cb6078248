from django.urls import include, path

from service_common.urls import common_urls, handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

# Kraken's clients drop a path from the base URL, so its surface sits at the root.
urlpatterns = [*common_urls(), path("", include("apps.paper.api.urls"))]
