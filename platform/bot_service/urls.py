from django.urls import path

from apps.core.api.personal_data import PersonalDataView
from service_common.urls import common_urls, handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    *common_urls(),
    path("internal/personal-data/<uuid:user_id>", PersonalDataView.as_view(audience="bot")),
]
