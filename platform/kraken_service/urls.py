from django.urls import include, path

from apps.bots.api.views.closure import ClosureView
from apps.core.api.personal_data import PersonalDataView
from service_common.urls import common_urls, handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    *common_urls(),
    path("internal/closures/<uuid:user_id>", ClosureView.as_view()),
    path("internal/personal-data/<uuid:user_id>", PersonalDataView.as_view(audience="kraken")),
    path("api/v1/", include("apps.vault.api.urls")),
    path("api/v1/", include("apps.market.api.urls")),
    path("api/v1/", include("apps.bots.api.urls")),
]
