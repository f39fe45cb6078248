"""Prometheus metrics of the HTTP requests that a service answers."""

import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from apps.core.metrics import WEB, gauge, histogram
from apps.core.process_table import PROCESSES
from apps.core.samples import RequestCounts

# Labelled by the URL pattern, never by the path: ids in it would make a line each.
duration = histogram(
    "http_request_duration_seconds", "Time to answer an HTTP request.", ["method", "route", "status"], processes=WEB
)
in_progress = gauge(
    "http_requests_in_progress",
    "Requests that are being answered; each has a thread.",
    processes=WEB,
    children="livesum",
)
threads = gauge(
    "http_threads", "Threads that answer requests, of all worker processes.", processes=WEB, children="livesum"
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMetricsMiddleware:
    """Outermost, so that the time of all other middleware counts. What no URL pattern matches has the route ``-``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        process = PROCESSES.get(settings.PROCESS)
        threads.set(process.threads if process else 0)
        self._counts = RequestCounts(settings.PROCESS)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        in_progress.inc()
        try:
            response = self._get_response(request)
        finally:
            in_progress.dec()
        match = getattr(request, "resolver_match", None)
        route = match.route if match else "-"
        method = request.method if request.method in _METHODS else "other"
        duration.labels(method, route, str(response.status_code)).observe(time.perf_counter() - began)
        self._counts.add(response.status_code)
        return response
