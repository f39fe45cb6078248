"""How an operation becomes OpenAPI: what holds for all of them is said here once, and not at each view.

A view declares its body, its query and its answers (apps.core.api.requests). This adds the summary, the statuses and
headers that the platform gives to every call, Idempotency-Key, and the list of error codes.
"""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import force_instance
from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework import serializers

from apps.core.api.error_codes import error_codes
from apps.core.api.idempotency import HEADER, REPLAYED, IdempotentMutations
from apps.core.api.requests import Operation, RequestSerializer, operation_of
from apps.core.api.schema import ERRORS, ErrorBodySerializer
from apps.core.api.schema_examples import add_examples
from apps.core.identity.access import access_of

_MUTATIONS = ("POST", "PUT", "PATCH", "DELETE")
# Of every call: by the base classes of the views, by the server, and by the gateway.
_OF_EVERY_CALL = (400, 405, 406, 413, 414, 415, 429, 431, 503)

_PARAMETERS = {
    "IdempotencyKey": {
        "name": HEADER,
        "in": "header",
        "description": "Yours to choose, one for each change you want. The same key with the same request gets the "
        "first answer again; with another request it is refused: 409 `idempotency_key_reused`.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
        "example": "7f3c1a52-first-try",
    },
    "IdempotencyKeyUnused": {
        "name": HEADER,
        "in": "header",
        "description": "Taken and not used: the answer has a secret, which is kept nowhere, or the call is harmless to "
        "repeat.",
        "schema": {"type": "string"},
        "example": "7f3c1a52-first-try",
    },
}

_HEADERS = {
    "RequestId": {"description": "Of this request, in every log line and event of it.", "schema": {"type": "string"}},
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
    "Location": {
        "description": "Where the new thing, or the receipt of the command, is.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "IdempotencyReplayed": {
        "description": "`true` where this is the answer of an earlier request with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "WwwAuthenticate": {"description": "RFC 6750.", "schema": {"type": "string"}},
}


class PlatformSchema(AutoSchema):
    """Of every view: settings name it."""

    def _get_format_parameters(self) -> list[Any]:
        """The Accept header alone chooses a format (apps.core.api.views.ByAcceptHeader)."""
        return []

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        if operation is not None and self.method in _MUTATIONS:
            used = isinstance(self.view, IdempotentMutations)
            parameter = "IdempotencyKey" if used else "IdempotencyKeyUnused"
            operation.setdefault("parameters", []).append({"$ref": f"#/components/parameters/{parameter}"})
        return operation

    def get_summary(self) -> str | None:
        """The first paragraph of the docstring."""
        return " ".join(super().get_description().split("\n\n")[0].split()).rstrip(".") or None

    def get_description(self) -> str:  # type: ignore[override]
        """All other paragraphs."""
        text: str = super().get_description()
        return text.partition("\n\n")[2].strip()

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        """An answer has every field, also those a request may leave out, unless a serializer of answers says so."""
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        schema.update(getattr(serializer, "also_documented", {}) if direction == "request" else {})
        if direction == "response":
            fields = force_instance(serializer).fields
            always = {name for name in schema.get("properties", {}) if not _may_be_absent(fields[name])}
            if required := sorted(always | set(schema.get("required", ()))):
                schema["required"] = required
        return schema

    def _get_request_for_media_type(self, serializer: Any, direction: Any = "request") -> Any:
        method = self.method
        # drf-spectacular takes every field of a PATCH for one that may be left out; here the call says so.
        self.method = "PUT" if method == "PATCH" and not self._declared().is_partial else method
        try:
            described = super()._get_request_for_media_type(serializer, direction)  # type: ignore[no-untyped-call]
        finally:
            self.method = method
        schema, is_required = described
        # Generators take an optional choice of bodies for none at all.
        return schema, is_required or isinstance(serializer, PolymorphicProxySerializer)

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        declared: dict[str, Any] = super()._get_response_bodies(direction)
        self.resolve_serializer(ErrorBodySerializer, direction)
        good = {status: self._with_headers(status, body) for status, body in declared.items() if int(status) < 400}
        errors = {int(status) for status in declared if int(status) >= 400} | self._implied_errors()
        return {**good, **{str(status): {"$ref": _response(status)} for status in sorted(errors)}}

    def _implied_errors(self) -> set[int]:
        implied = set(_OF_EVERY_CALL)
        if self.view.authentication_classes:
            implied.add(401)
        rule = access_of(self.view, self.method)
        if rule is None or rule.roles:
            implied.add(403)
        if "{" in self.path:
            implied.add(404)
        if self.method in _MUTATIONS and isinstance(self.view, IdempotentMutations):
            implied.add(409)
        return implied

    def _declared(self) -> Operation:
        return operation_of(getattr(self.view, self.method.lower()))

    def _with_headers(self, status: str, body: dict[str, Any]) -> dict[str, Any]:
        names = {"X-Request-ID": "RequestId"}
        if self._declared().gives_location:
            names["Location"] = "Location"
        if self.method in _MUTATIONS and isinstance(self.view, IdempotentMutations):
            names[REPLAYED] = "IdempotencyReplayed"
        return {**body, "headers": {**body.get("headers", {}), **_headers(names)}}


def _may_be_absent(field: Any) -> bool:
    """`required=False` in a serializer that is for answers alone: of a value that not every answer has."""
    parent = field.parent
    is_for_answers = not isinstance(parent, RequestSerializer | serializers.ModelSerializer)
    return is_for_answers and not field.required and not field.read_only


def complete_document(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Adds the components that PlatformSchema refers to, and examples: the last hook of drf-spectacular."""
    if not result.get("paths"):
        return result
    components = result["components"]
    components["parameters"] = {**_PARAMETERS, **components.get("parameters", {})}
    components["headers"] = _HEADERS
    components["responses"] = {_NAMES[status]: _error_response(status) for status in sorted(ERRORS)}
    codes = error_codes()
    components["schemas"]["ErrorCode"] = {
        "type": "string",
        "enum": list(codes),
        "description": "\n".join(f"* `{code}`: {meaning}" for code, meaning in codes.items() if meaning),
    }
    components["schemas"] = dict(sorted(components["schemas"].items()))
    _take_empty_text_once(result)
    add_examples(result)
    return result


_NAMES = {status: "".join(word.capitalize() for word in error.title.split()) for status, error in ERRORS.items()}


def _response(status: int) -> str:
    return f"#/components/responses/{_NAMES[status]}"


def _error_response(status: int) -> dict[str, Any]:
    error = ERRORS[status]
    names = {"X-Request-ID": "RequestId"}
    if error.is_temporary:
        names["Retry-After"] = "RetryAfter"
    if status == 401:
        names["WWW-Authenticate"] = "WwwAuthenticate"
    example = {"code": error.example, "message": error.meaning, "details": {}, "request_id": "5c1f7d0a9be24c3f"}
    return {
        "description": error.meaning,
        "headers": _headers(names),
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/ErrorBody"},
                "example": {"error": example},
            }
        },
    }


def _headers(names: dict[str, str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{component}"} for name, component in names.items()}


def _take_empty_text_once(schema: Any) -> None:
    """drf-spectacular lets a text be empty by `oneOf`, and "" then matches twice where the pattern allows it too."""
    if isinstance(schema, list):
        for each in schema:
            _take_empty_text_once(each)
    elif isinstance(schema, dict):
        if {"type": "string", "maxLength": 0} in (schema.get("oneOf") or ()):
            schema["anyOf"] = schema.pop("oneOf")
        for each in schema.values():
            _take_empty_text_once(each)
