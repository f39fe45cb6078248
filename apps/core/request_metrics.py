"""Prometheus metrics of the HTTP requests that a service answers."""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from prometheus_client import Histogram

# Labelled by the URL pattern, never by the path: ids in it would make a line each.
duration = Histogram(
    "http_request_duration_seconds", "Time to answer an HTTP request.", ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)  # fmt: skip
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMetricsMiddleware:
    """Outermost, so that the time of all other middleware counts. What no URL pattern matches has the route ``-``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        response = self._get_response(request)
        match = getattr(request, "resolver_match", None)
        route = match.route if match else "-"
        method = request.method if request.method in _METHODS else "other"
        duration.labels(method, route, str(response.status_code)).observe(time.perf_counter() - began)
        return response
