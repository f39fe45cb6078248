"""The WSGI application of every service."""

from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters


class Request(WSGIRequest):
    """Django's, but that the charset of the body's type does not decode the query string.

    Python knows charsets that are no encodings of text, such as `zlib`. Django would fail while it makes the request,
    before anything answers. The parsers of bodies look at the charset themselves (apps/core/api/parsers.py).
    """

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))


class Application(WSGIHandler):
    request_class = Request


def application() -> Application:
    """To be called once, in the module that gunicorn is given."""
    django.setup(set_prefix=False)
    return Application()
