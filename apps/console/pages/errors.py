"""Pages for what went wrong: a refusal of the API, a service that is down, an address without a page."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.console.api_client.base import ApiRefused, ApiUnavailable, SessionEnded
from apps.console.pages.held import ask_for_step_up, log_in_again
from apps.console.requests import console_request
from apps.console.texts import sentence_for


def answer_to(request: HttpRequest, exception: Exception) -> HttpResponse | None:
    """The page for an error of the API; None for another error."""
    match exception:
        case SessionEnded():
            return log_in_again(request)
        case ApiUnavailable():
            return unavailable(request, exception)
        case ApiRefused(needs_step_up=True):
            return ask_for_step_up(request)
        case ApiRefused(status=404):
            return not_found(request)
        case ApiRefused():
            return _page(request, "refused", exception.status, sentence=sentence_for(exception), code=exception.code)
    return None


def unavailable(request: HttpRequest, exception: ApiUnavailable) -> HttpResponse:
    was_sent = request.method == "POST"
    answer = _page(request, "unavailable", 503, service=exception.service, was_sent=was_sent)
    answer["Retry-After"] = str(exception.retry_after or 5)
    return answer


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    return _page(request, "not_found", 404)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    return _page(request, "not_found", 400)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    return _page(request, "form_refused", 403)


def form_refused(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    """Of a form without the token of this browser: it came from elsewhere, or cookies were deleted."""
    return _page(request, "form_refused", 403)


def server_error(request: HttpRequest) -> HttpResponse:
    return _page(request, "failed", 500)


def _page(request: HttpRequest, name: str, status: int, **context: Any) -> HttpResponse:
    if not hasattr(request, "log_in"):
        console_request(request).log_in = None
    asked = console_request(request)
    if getattr(asked, "htmx", False):
        # A part of a page: what is there stays, and the page says so.
        event = "console:unavailable" if status == 503 else "console:refused"
        return HttpResponse(status=status, headers={"HX-Trigger": event, "HX-Reswap": "none"})
    return render(request, f"console/errors/{name}.html", context, status=status)
