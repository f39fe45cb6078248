"""Error responses in the OpenAPI document: the one error shape, by HTTP status."""

from dataclasses import dataclass
from typing import Any

from drf_spectacular.plumbing import get_lib_doc_excludes
from drf_spectacular.utils import OpenApiResponse, extend_schema_field
from rest_framework import serializers


@dataclass(frozen=True)
class ErrorStatus:
    """A status of an error, for the document. `is_temporary`: the answer has Retry-After."""

    title: str
    meaning: str
    example: str
    is_temporary: bool = False


ERRORS = {
    400: ErrorStatus(
        "bad request",
        "The request cannot be understood, or names a field or parameter that the call does not take.",
        "malformed",
    ),
    401: ErrorStatus("unauthorized", "No token, or one that is not good (any more).", "invalid_token"),
    403: ErrorStatus("forbidden", "The role does not allow it, or a gate before it is not met.", "forbidden"),
    404: ErrorStatus("not found", "Not there, or not yours.", "not_found"),
    405: ErrorStatus("method not allowed", "The path does not take this method.", "method_not_allowed"),
    406: ErrorStatus("not acceptable", "Only application/json is answered.", "not_acceptable"),
    409: ErrorStatus("conflict", "The state does not allow it now.", "conflict", is_temporary=True),
    413: ErrorStatus("content too large", "The body is larger than 256 KiB.", "too_large"),
    414: ErrorStatus("address too long", "The address is too long.", "request_too_large"),
    415: ErrorStatus("unsupported media type", "A body must be application/json.", "unsupported_media_type"),
    422: ErrorStatus("unprocessable content", "Understood, and refused by a rule.", "refused"),
    429: ErrorStatus(
        "too many requests", "Too many requests; see Retry-After.", "too_many_requests", is_temporary=True
    ),
    431: ErrorStatus("headers too large", "The headers are too large.", "request_too_large"),
    503: ErrorStatus(
        "service unavailable",
        "The service, or a server that this answer cannot do without, does not answer.",
        "dependency_unavailable",
        is_temporary=True,
    ),
}


@extend_schema_field({"$ref": "#/components/schemas/ErrorCode"})
class ErrorCodeField(serializers.CharField):
    """For programs; the document lists them."""


class ErrorSerializer(serializers.Serializer[Any]):
    code = ErrorCodeField()
    message = serializers.CharField(help_text="For people.")
    details = serializers.DictField()
    request_id = serializers.CharField()


class ErrorBodySerializer(serializers.Serializer[Any]):
    error = ErrorSerializer()


def error_responses(*statuses: int) -> dict[int, OpenApiResponse]:
    """Entries for `responses` of extend_schema: what the call's own rules give.

    What every call can give need not be named (apps.core.api.auto_schema).
    """
    return {status: OpenApiResponse(ErrorBodySerializer, ERRORS[status].meaning) for status in sorted(statuses)}


def close_request_bodies(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Says in the document that bodies have no fields but those named: a hook of drf-spectacular. Defaults are told.

    COMPONENT_SPLIT_REQUEST gives every body a component of its own, whose name ends in Request.
    """
    for name, component in result.get("components", {}).get("schemas", {}).items():
        if name.endswith("Request") and component.get("type") == "object":
            component.setdefault("additionalProperties", False)
            for field in component.get("properties", {}).values():
                _tell_default(field)
    return result


def _tell_default(field: dict[str, Any]) -> None:
    """Moves the default into the description. Generators take a field that has one for a field that is always there."""
    default = field.pop("default", None)
    if default not in (None, ""):
        said = f"Left out: `{default}`."
        field["description"] = f"{field['description']} {said}" if "description" in field else said


def bases_to_leave_out() -> list[type]:
    """Classes whose docstrings are for developers, and describe nothing in the document: a hook of drf-spectacular."""
    # Not at the top: the generator reads its settings while views are being imported.
    from apps.core.api import requests, views

    return [*get_lib_doc_excludes(), requests.RequestSerializer, requests.QuerySerializer, views.ApiView]
