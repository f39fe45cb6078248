from django.urls import include, path

from service_common.urls import common_urls

# Kraken's clients drop a path from the base URL, so its surface sits at the root.
urlpatterns = [*common_urls(), path("", include("apps.paper.api.urls"))]
