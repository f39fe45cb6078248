"""The request as pages see it."""

from typing import Any, cast

from django.http import HttpRequest, QueryDict

from apps.console.api_client.base import Api
from apps.console.session.login import LogIn


class ConsoleRequest(HttpRequest):
    """With the API and the log-in of the browser. `draft`: what was typed into the form before a log-in in between."""

    api: Api
    log_in: LogIn | None
    draft: QueryDict | None
    htmx: bool


def console_request(request: Any) -> ConsoleRequest:
    return cast(ConsoleRequest, request)
