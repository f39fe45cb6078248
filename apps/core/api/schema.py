"""Error responses in the OpenAPI document: the one error shape, by HTTP status."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

_MEANINGS = {
    400: "The request cannot be understood.",
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
