"""Health, readiness and metrics: the same in every service."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views import View
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from apps.events.process.metrics import registry
from apps.ops.health import platform_health, readiness


class LiveView(View):
    """The process runs. No dependency is touched."""

    def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse({"status": "live", "service": settings.SERVICE})


class ReadyView(View):
    """200 when the service can serve, with what is down by name; 503 when it cannot."""

    def get(self, request: HttpRequest) -> JsonResponse:
        can_serve, body = readiness(now=timezone.now())
        return JsonResponse({"service": settings.SERVICE, **body}, status=200 if can_serve else 503)


class PlatformHealthView(View):
    """The whole platform in one answer: what the gateway serves as /health."""

    def get(self, request: HttpRequest) -> JsonResponse:
        can_serve, body = platform_health(now=timezone.now())
        return JsonResponse(body, status=200 if can_serve else 503)


class MetricsView(View):
    """Prometheus metrics of all worker processes of this service. The gateway does not route it."""

    def get(self, request: HttpRequest, *args: Any) -> HttpResponse:
        return HttpResponse(generate_latest(registry()), content_type=CONTENT_TYPE_LATEST)
