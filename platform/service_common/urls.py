"""The URLs that every service has: health, metrics, the OpenAPI document, errors in the one shape."""

from typing import Any

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from apps.ops.api.views import LiveView, MetricsView, ReadyView


def common_urls() -> list[Any]:
    return [
        path("health/live", LiveView.as_view()),
        path("health/ready", ReadyView.as_view()),
        path("metrics", MetricsView.as_view()),
        path(
            "api/schema/", SpectacularAPIView.as_view(authentication_classes=[], permission_classes=[]), name="schema"
        ),
        path(
            "api/docs/",
            SpectacularSwaggerView.as_view(url_name="schema", authentication_classes=[], permission_classes=[]),
            name="docs",
        ),
    ]


handler400 = "apps.core.api.errors.bad_request"
handler404 = "apps.core.api.errors.page_not_found"
handler500 = "apps.core.api.errors.server_error"
