"""What every template may use."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from apps.console.navigation import navigation
from apps.core.middleware import request_id_of


def console(request: HttpRequest) -> dict[str, Any]:
    log_in = getattr(request, "log_in", None)
    return {
        "log_in": log_in,
        "navigation": navigation(request.path) if log_in else [],
        "request_id": request_id_of(request),
        "zone_name": timezone.get_current_timezone_name(),
    }
