"""What a call takes: its body and its query string, declared once. Names that are not declared are refused."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, ClassVar, Literal, TypeVar, cast

from django.http import QueryDict
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from apps.core.api.json_types import refuse_wrong_types
from apps.core.errors import FieldIsImmutable, Malformed

# Longer names are cut in answers.
LONGEST_NAME = 60

Handler = TypeVar("Handler", bound=Callable[..., Any])


class UnknownField(Malformed):
    """The request names a field or a query parameter that the call does not know, or that is only in its answer.

    `details`: `field` as it was sent, with its path in nested bodies; `nearest` known name, null where the field cannot
    be set or the call takes none; `known` names at that place; `in` is "body" or "query".
    """

    code = "unknown_field"


class RequestSerializer(serializers.Serializer[Any]):
    """Base of every serializer of a body or a query string: unknown names are refused at every depth.

    `read_only` in the context are names that the answer has and the call cannot change; `immutable`, of a call that
    changes what there is, says how to come to another value of some of them; `also_known` are names that something else
    reads. Values of a body have the JSON type that the document states; a query string is text.
    Validation raises UnknownField, FieldIsImmutable, WrongType.
    """

    where: ClassVar[Literal["body", "query"]] = "body"
    # What JSON Schema says of the object besides its fields, for the document; `validate` holds it.
    also_documented: ClassVar[Mapping[str, Any]] = {}

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if self.root is self:
            _refuse_unknown(self, data, path="", root=self)
            if self.where == "body":
                refuse_wrong_types(self, data)
        return super().run_validation(data)

    def refuse_unknown(self) -> None:
        """Looks at the names alone. Raises UnknownField, FieldIsImmutable."""
        _refuse_unknown(self, self.initial_data, path="", root=self)


class QuerySerializer(RequestSerializer):
    """Base of every serializer of a query string."""

    where = "query"

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Raises Malformed too, for a parameter that is there twice or is a number in another spelling."""
        if isinstance(data, QueryDict):
            data = _single_values(data)
        for name, field in self.fields.items():
            if isinstance(field, serializers.IntegerField) and not _NUMBER.fullmatch(str(data.get(name, "0"))):
                raise _malformed_parameter(name, "This is not a whole number.")
        return super().run_validation(data)


_NUMBER = re.compile(r"-?[0-9]{1,20}")


def _single_values(query: QueryDict) -> dict[str, str]:
    """As a dictionary: of a QueryDict, DRF takes an empty value for one that is not there."""
    for name, values in query.lists():
        if len(values) > 1:
            raise _malformed_parameter(_shown(name), "This parameter is given more than once.")
    return {name: str(query[name]) for name in query}


def _malformed_parameter(name: str, sentence: str) -> Malformed:
    return Malformed(f"{name}: {sentence}", fields={name: [sentence]})


class AbandonQuerySerializer(QuerySerializer):
    """Of deletions that would leave coins without a bot."""

    abandon = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Give up the coins that are held: they stay in the exchange account and belong to no bot.",
    )


class EmptyBody(RequestSerializer):
    """Of calls that take none."""


class EmptyQuery(QuerySerializer):
    """Of calls that take no parameters."""


Body = type[RequestSerializer] | PolymorphicProxySerializer


@dataclass(frozen=True)
class Operation:
    """What one call takes, and the serializers of its successful answers."""

    body: Body = EmptyBody
    query: type[QuerySerializer] = EmptyQuery
    is_partial: bool = False
    answers: tuple[Any, ...] = ()
    immutable: Mapping[str, str] = dataclass_field(default_factory=dict)
    gives_location: bool = False

    def read(
        self, request: Request, *, body: type[RequestSerializer], page_parameters: Collection[str]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The valid fields of the query string and of the body. Names come before values.

        Raises FieldIsImmutable (422), and UnknownField, WrongType, DRF's ValidationError and ParseError, which all
        become a 400.
        """
        # Which names only the answer has is asked for where one is unknown.
        context: dict[str, Any] = {
            "read_only": lambda: {name for answer in self.answers for name in _names_of(answer)} | set(self.immutable)
        }
        if request.method == "PATCH":
            context["immutable"] = self.immutable
        # Most reads take nothing and are sent nothing: there is nothing to look at.
        read = (
            self.query(data=request.query_params, context={"also_known": page_parameters})
            if self.query is not EmptyQuery or request.query_params
            else None,
            body(data=request.data, partial=self.is_partial, context=context)
            if body is not EmptyBody or _has_body(request)
            else None,
        )
        for each in filter(None, read):
            each.refuse_unknown()
        for each in filter(None, read):
            each.is_valid(raise_exception=True)
        query, sent = (each.validated_data if each is not None else {} for each in read)
        return query, sent


def operation(
    *,
    body: Body | None = None,
    query: type[QuerySerializer] | None = None,
    partial: bool = False,
    responses: dict[int, Any],
    parameters: Sequence[OpenApiParameter] = (),
    location: bool = False,
    immutable: Mapping[str, str] | None = None,
    media_type: str = "",
    **described: Any,
) -> Callable[[Handler], Handler]:
    """Declares what a handler of an ApiView takes, for the view and for the OpenAPI document alike.

    With `partial` every field of the body may be left out. A PATCH refuses the fields that only its answer has as
    immutable; `immutable` says of some, and of others that are known, how to come to another value. `parameters` are
    those that something else reads, for the document; `location` says that the answer has that header; `media_type` is
    that of a good answer which is not JSON; `described` is what extend_schema takes besides.
    """
    answers = tuple(answer for status, answer in responses.items() if 200 <= status < 300)
    declared = Operation(body or EmptyBody, query or EmptyQuery, partial, answers, immutable or {}, location)
    document = extend_schema(
        request=body(partial=True) if partial and isinstance(body, type) else body,
        parameters=[*([query] if query else []), *parameters],
        responses={(each, media_type) if media_type and each < 300 else each: responses[each] for each in responses},
        **described,
    )

    def declare(handler: Handler) -> Handler:
        documented: Handler = document(handler)
        setattr(documented, _DECLARED, declared)
        return documented

    return declare


def _has_body(request: Request) -> bool:
    """As DRF sees it: a length, or a body of unknown length."""
    meta = request.META
    return meta.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in meta


_DECLARED = "declared_operation"
_NOTHING = Operation()


def operation_of(handler: Callable[..., Any]) -> Operation:
    """What the handler declares; nothing at all where it declares nothing."""
    return cast(Operation, getattr(handler, _DECLARED, _NOTHING))


def _names_of(answer: Any) -> Collection[str]:
    made = answer() if isinstance(answer, type) and issubclass(answer, serializers.BaseSerializer) else answer
    made = made.child if isinstance(made, serializers.ListSerializer) else made
    return made.fields.keys() if isinstance(made, serializers.Serializer) else ()


def _refuse_unknown(field: Any, data: Any, *, path: str, root: RequestSerializer) -> None:
    if isinstance(field, serializers.Serializer) and isinstance(data, Mapping):
        writable = {name: each for name, each in field.fields.items() if _is_writable(each)}
        also_known = root.context.get("also_known", ()) if field is root else ()
        for name, value in data.items():
            if name in writable:
                _refuse_unknown(writable[name], value, path=f"{path}{name}.", root=root)
            elif name not in also_known:
                raise _unknown(str(name), known={*writable, *also_known}, field=field, path=path, root=root)
    elif isinstance(field, serializers.ListSerializer | serializers.ListField) and isinstance(data, list):
        for number, item in enumerate(data):
            _refuse_unknown(field.child, item, path=f"{path.removesuffix('.')}[{number}].", root=root)
    elif isinstance(field, serializers.DictField) and isinstance(data, Mapping):
        for name, value in data.items():
            _refuse_unknown(field.child, value, path=f"{path}{_shown(str(name))}.", root=root)


def _is_writable(field: Any) -> bool:
    return not field.read_only and not isinstance(field, serializers.HiddenField)


def _unknown(
    name: str, *, known: Collection[str], field: serializers.Serializer[Any], path: str, root: RequestSerializer
) -> UnknownField | FieldIsImmutable:
    name = _shown(name)
    noun = "field" if root.where == "body" else "query parameter"
    close = difflib.get_close_matches(name, sorted(known), n=1)
    nearest = close or difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)
    answered = root.context.get("read_only", tuple)() if field is root else ()
    if name in field.fields or name in answered:
        nearest, sentence = [], f"The {noun} {path}{name} cannot be changed by this call. Leave it out."
        if (immutable := root.context.get("immutable")) is not None:
            how = immutable.get(name, "") if field is root else ""
            return FieldIsImmutable(f"{sentence} {how}".strip(), field=f"{path}{name}", **({"how": how} if how else {}))
    elif close:
        sentence = f"There is no {noun} {path}{name}. Did you mean {path}{close[0]}?"
    elif known:
        sentence = f"There is no {noun} {path}{name}. Known here: {', '.join(sorted(known))}."
    else:
        sentence = f"There is no {noun} {path}{name}: this call takes none. Leave it out."
    return UnknownField(
        sentence,
        field=f"{path}{name}",
        nearest=f"{path}{nearest[0]}" if nearest else None,
        known=sorted(known),
        **{"in": root.where},
    )


def _shown(name: str) -> str:
    """The name as an answer may hold it: of bounded length, and encodable, which half a surrogate pair is not."""
    return name[:LONGEST_NAME].encode(errors="replace").decode()
