"""Kraken's response envelope: always HTTP 200, ``{"error": [...], "result": ...}``."""

from typing import Any

import orjson
from django.http import HttpResponse

from apps.paper.errors import KrakenRefusal


def answer(result: Any) -> HttpResponse:
    return _json({"error": [], "result": result})


def refusal(error: KrakenRefusal) -> HttpResponse:
    return _json({"error": [error.message]})


def _json(body: dict[str, Any]) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), content_type="application/json")
