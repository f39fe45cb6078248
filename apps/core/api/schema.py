"""Error responses in the OpenAPI document: the one error shape, by HTTP status."""

from typing import Any

from drf_spectacular.plumbing import get_lib_doc_excludes
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

_MEANINGS = {
    400: "The request cannot be understood, or names a field or parameter that the call does not take.",
    401: "No token, or one that is not good (any more).",
    403: "The role does not allow it.",
    404: "Not there, or not yours.",
    409: "The state does not allow it now.",
    422: "Understood, and refused by a rule.",
    429: "Too many requests; see Retry-After.",
    503: "A server that this answer cannot do without does not answer.",
}


class ErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="For programs.")
    message = serializers.CharField(help_text="For people.")
    details = serializers.DictField()
    request_id = serializers.CharField()


class ErrorBodySerializer(serializers.Serializer[Any]):
    error = ErrorSerializer()


def error_responses(*statuses: int) -> dict[int, OpenApiResponse]:
    """Entries for `responses` of extend_schema. 400 and 503 are always included: every call can return them."""
    return {status: OpenApiResponse(ErrorBodySerializer, _MEANINGS[status]) for status in sorted({400, 503, *statuses})}


def close_request_bodies(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Says in the document that bodies have no fields but those named: a hook of drf-spectacular.

    COMPONENT_SPLIT_REQUEST gives every body a component of its own, whose name ends in Request.
    """
    for name, component in result.get("components", {}).get("schemas", {}).items():
        if name.endswith("Request") and component.get("type") == "object":
            component.setdefault("additionalProperties", False)
    return result


def bases_to_leave_out() -> list[type]:
    """Classes whose docstrings are for developers, and describe nothing in the document: a hook of drf-spectacular."""
    # Not at the top: the generator reads its settings while views are being imported.
    from apps.core.api import requests, views

    return [*get_lib_doc_excludes(), requests.RequestSerializer, requests.QuerySerializer, views.ApiView]
