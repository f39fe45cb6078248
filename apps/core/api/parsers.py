import codecs
import json
from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from apps.core.errors import Malformed

_NOT_JSON = "The body is not valid JSON."


class FieldGivenTwice(Malformed):
    """An object of the body names a field twice. Programs differ in which value counts (RFC 8259, section 4)."""


class StrictJSONParser(BaseParser):
    """JSON in UTF-8 (RFC 8259), uncompressed, without NaN and Infinity, whose objects name each field once.

    Raises DRF's ParseError for what is no JSON or is nested too deeply (256 KiB can hold 100 000 opening brackets),
    FieldGivenTwice, and DRF's UnsupportedMediaType for another charset or a content encoding: decoders of Python, such
    as `zlib`, would make megabytes of a small body.
    """

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        assert parser_context is not None
        request: Request = parser_context["request"]
        _refuse_encodings(request)
        # Not the stream: Django keeps the body for whoever asks for it again (Idempotency-Key), and bounds its length.
        text = request._request.body
        try:
            return json.loads(
                text.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_with_single_fields
            )
        except (ValueError, RecursionError):
            raise ParseError(_NOT_JSON) from None


def _refuse_encodings(request: Request) -> None:
    content_encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if content_encoding not in ("", "identity"):
        raise UnsupportedMediaType(content_encoding, "Send the body as it is, without a Content-Encoding.")
    charset = (request._request.content_params or {}).get("charset", "utf-8")
    if not _is_utf8(charset):
        raise UnsupportedMediaType(charset, "A body is application/json in UTF-8.")


def _is_utf8(charset: str) -> bool:
    try:
        return codecs.lookup(charset).name in ("utf-8", "ascii")
    except (LookupError, ValueError):
        return False


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _with_single_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        shown = twice[:100].encode(errors="replace").decode()
        raise FieldGivenTwice(f"The field {shown} is there twice.", fields={shown: ["Give it once."]})
    return fields
