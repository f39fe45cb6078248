"""The URLs that every service has: health, metrics, the OpenAPI document, errors in the one shape."""

from typing import Any

from django.conf import settings
from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from apps.ops.api.views import LiveView, MetricsView, ReadyView


def common_urls() -> list[Any]:
    """Health and metrics at fixed paths; the document and its page at the paths that the gateway gives them too."""
    return [
        path("health/live", LiveView.as_view()),
        path("health/ready", ReadyView.as_view()),
        path("metrics", MetricsView.as_view()),
        path(
            f"api/schema/{settings.SERVICE}/",
            SpectacularAPIView.as_view(authentication_classes=[], permission_classes=[]),
            name="schema",
        ),
        # The split view has no script inside the page, which a content security policy would have to allow.
        path(
            f"api/docs/{settings.SERVICE}/",
            SpectacularSwaggerSplitView.as_view(url_name="schema", authentication_classes=[], permission_classes=[]),
            name="docs",
        ),
    ]


handler400 = "apps.core.api.errors.bad_request"
handler404 = "apps.core.api.errors.page_not_found"
handler500 = "apps.core.api.errors.server_error"
