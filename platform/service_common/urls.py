"""The URLs that every service has: health, metrics, the OpenAPI document, errors in the one shape."""

from typing import Any

from django.conf import settings
from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from apps.ops.api.views import LiveView, MetricsView, ReadyView


def common_urls() -> list[Any]:
    """Health, metrics, the OpenAPI document and its page.

    Both are served twice: under the service's name as the gateway has it, so that links hold behind it too, and at the
    short paths of the service's own port.
    """
    # The split view has no script inside the page, which a content security policy would have to allow.
    document = SpectacularAPIView.as_view(authentication_classes=[], permission_classes=[])
    page = SpectacularSwaggerSplitView.as_view(url_name="schema", authentication_classes=[], permission_classes=[])
    return [
        path("health/live", LiveView.as_view()),
        path("health/ready", ReadyView.as_view()),
        path("metrics", MetricsView.as_view()),
        path("api/schema/", document),
        path("api/docs/", page),
        path(f"api/schema/{settings.SERVICE}/", document, name="schema"),
        path(f"api/docs/{settings.SERVICE}/", page, name="docs"),
    ]


handler400 = "apps.core.api.errors.bad_request"
handler403 = "apps.core.api.errors.forbidden"
handler404 = "apps.core.api.errors.page_not_found"
handler500 = "apps.core.api.errors.server_error"
