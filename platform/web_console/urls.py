from django.urls import include, path

from apps.ops.api.views import LiveView, MetricsView

handler400 = "apps.console.pages.errors.bad_request"
handler403 = "apps.console.pages.errors.forbidden"
handler404 = "apps.console.pages.errors.not_found"
handler500 = "apps.console.pages.errors.server_error"

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    path("health/live", LiveView.as_view()),
    path("metrics", MetricsView.as_view()),
    path("", include("apps.console.urls")),
]
