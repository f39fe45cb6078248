"""The log-in of a browser, headers of every page, and pages for what the API refuses."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.console.api_client.base import Api
from apps.console.pages import errors
from apps.console.requests import console_request
from apps.console.session import login

# Pages run what this host serves as files, and nothing else.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class SessionMiddleware:
    """Reads the log-in from its cookie, and writes it back where it changed."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked = console_request(request)
        asked.log_in = login.read(request)
        asked.api = Api(request, asked.log_in)
        asked.draft = None
        asked.htmx = request.headers.get("HX-Request") == "true"
        # Every time is shown in the zone that the account names.
        with timezone.override(asked.log_in.zone if asked.log_in else None):
            response = self._get_response(request)
        found = asked.log_in
        if found is not None and found.is_changed:
            login.write(response, found)
        return response


class PageHeadersMiddleware:
    """No page is kept by the browser: it shows what only the person who is logged in may see."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


class RefusalMiddleware:
    """Innermost: a page that does not handle an error of the API itself leaves it to this."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return errors.answer_to(request, exception)
