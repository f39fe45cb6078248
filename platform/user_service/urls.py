from django.urls import include, path

from apps.accounts.api.views.keys import PublicKeysView
from service_common.urls import common_urls, handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    *common_urls(),
    path(".well-known/jwks.json", PublicKeysView.as_view()),
    path("api/v1/", include("apps.accounts.api.urls")),
    path("api/v1/", include("apps.onboarding.api.urls")),
]
