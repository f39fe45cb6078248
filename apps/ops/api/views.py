"""Health, readiness and metrics: the same in every service."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views import View

from apps.core.identity.access import ANYONE
from apps.events.process.metrics import answer
from apps.ops.health import platform_health, readiness, without_hosts


class LiveView(View):
    """The process runs. No dependency is touched."""

    access = ANYONE

    def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse({"status": "live", "service": settings.SERVICE})


class ReadyView(View):
    """200 when the service can serve, with what is down by name; 503 when it cannot."""

    access = ANYONE

    def get(self, request: HttpRequest) -> JsonResponse:
        can_serve, body = readiness(now=timezone.now())
        body = _as_shown_to(request, body)
        return JsonResponse({"service": settings.SERVICE, **body}, status=200 if can_serve else 503)


class PlatformHealthView(View):
    """The whole platform in one answer: what the gateway serves as /health."""

    access = ANYONE

    def get(self, request: HttpRequest) -> JsonResponse:
        can_serve, body = platform_health(now=timezone.now())
        body = _as_shown_to(request, body)
        return JsonResponse(body, status=200 if can_serve else 503)


def _as_shown_to(request: HttpRequest, body: dict[str, Any]) -> dict[str, Any]:
    """Strangers come through the gateway, which adds this header, and see no host names. Metrics and logs have them."""
    return without_hosts(body) if "X-Forwarded-For" in request.headers else body


class MetricsView(View):
    """Prometheus metrics of all worker processes of this service; 503 while it ends. The gateway does not route it."""

    access = ANYONE

    def get(self, request: HttpRequest, *args: Any) -> HttpResponse:
        status, content_type, body = answer()
        return HttpResponse(body, status=status, content_type=content_type)
