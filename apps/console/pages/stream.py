"""Live updates: the browser's log-in is checked here, the stream itself comes from the stream process."""

from django.http import HttpRequest, HttpResponse, JsonResponse

from apps.console.api_client.base import ApiUnavailable, SessionEnded
from apps.console.pages.base import Page
from apps.core.identity.access import ANYONE


class StreamPage(Page):
    """`GET /app/stream`: hands the browser over to the stream process, with the access token that only the gateway
    sees. 401 without a log-in: an EventSource then gives up, and the page asks `session` why."""

    access = ANYONE

    def get(self, request: HttpRequest, **kwargs: object) -> HttpResponse:
        try:
            token = self.api.access_token()
        except SessionEnded:
            return HttpResponse(status=401)
        except ApiUnavailable:
            return HttpResponse(status=503, headers={"Retry-After": "5"})
        return HttpResponse(
            content_type="text/event-stream",
            headers={"X-Accel-Redirect": "/_stream/", "X-Stream-Authorization": f"Bearer {token}"},
        )


class SessionPage(Page):
    """Whether the browser is logged in, as JSON: for a page whose stream has ended."""

    access = ANYONE

    def get(self, request: HttpRequest, **kwargs: object) -> HttpResponse:
        try:
            self.api.get("auth/sessions", {"limit": 1})
        except SessionEnded:
            return JsonResponse({"state": "logged_out"})
        except ApiUnavailable:
            return JsonResponse({"state": "unavailable"})
        return JsonResponse({"state": "logged_in"})
