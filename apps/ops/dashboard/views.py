"""The pages of the dashboard: for every member of staff who is logged in."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from apps.accounts.staff_access import AREAS, FLOWER
from apps.core.identity.access import STAFF, with_access
from apps.ops.dashboard.history import LONGEST, plots
from apps.ops.dashboard.panels import panels

SECONDS_BETWEEN = 5
_HOURS = (1, 6, 24, 168)


def _page(request: HttpRequest) -> HttpResponse:
    """The whole dashboard as tables; its script draws the plots and keeps the figures fresh."""
    now = timezone.now()
    staff: Any = request.user
    context = {
        **admin.site.each_context(request),
        "title": "Dashboard",
        "panels": panels(now=now),
        "as_of": now,
        "hours": _HOURS,
        "sees_flower": not AREAS[FLOWER].isdisjoint(staff.roles),
        "configuration": {
            "figures": reverse("dashboard-figures"),
            "history": reverse("dashboard-history"),
            "seconds": SECONDS_BETWEEN,
        },
    }
    return TemplateResponse(request, "ops/dashboard.html", context)


def _figures(_: HttpRequest) -> HttpResponse:
    now = timezone.now()
    return JsonResponse({"as_of": now.isoformat(), "panels": [panel.as_dict() for panel in panels(now=now)]})


def _history(request: HttpRequest) -> HttpResponse:
    """`hours` of samples, 24 unless told, 168 at most; the daily figures whatever it is."""
    given = request.GET.get("hours", "24")
    most = int(LONGEST.total_seconds()) // 3600
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= most):
        return JsonResponse({"error": f"hours is a whole number from 1 to {most}."}, status=400)
    return JsonResponse({"plots": plots(now=timezone.now(), back=timedelta(hours=int(given)))})


dashboard_page = with_access(STAFF)(never_cache(admin.site.admin_view(_page)))
dashboard_figures = with_access(STAFF)(never_cache(admin.site.admin_view(_figures)))
dashboard_history = with_access(STAFF)(never_cache(admin.site.admin_view(_history)))
