"""JSON types of the values in a body. DRF takes true for 1, 5.0 for 5 and "5" for 5; here a value has its field's type.

Amounts are decimal strings; an integer is taken as well, because it is exact, and a float is not.
"""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from apps.core.errors import Malformed

_NAMES = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "a list", dict: "an object"}

# The first match counts: a subclass before its base.
_TYPES: tuple[tuple[type[serializers.Field[Any, Any, Any, Any]], tuple[type, ...]], ...] = (
    (serializers.BooleanField, (bool,)),
    (serializers.IntegerField, (int,)),
    (serializers.FloatField, (int, float)),
    (serializers.DecimalField, (str, int)),
    (serializers.MultipleChoiceField, (list,)),
    (serializers.CharField, (str,)),
    (serializers.UUIDField, (str,)),
    (serializers.DateTimeField, (str,)),
    (serializers.DateField, (str,)),
    (serializers.TimeField, (str,)),
    (serializers.DurationField, (str,)),
    (serializers.ListField, (list,)),
    (serializers.ListSerializer, (list,)),
    (serializers.DictField, (dict,)),
    (serializers.Serializer, (dict,)),
)


class WrongType(Malformed):
    """A value has another JSON type than its field.

    `details`: `fields` as for every malformed field, `field` with its path in nested bodies, the type `expected`, and
    the one `given`.
    """

    code = "wrong_type"


def refuse_wrong_types(field: Any, value: Any, *, path: str = "") -> None:
    """Raises WrongType for the first value that has not its field's type. None is left to the field's own rules."""
    if value is None:
        return
    expected = types_of(field)
    if path and expected and not _is_one_of(value, expected):
        names = " or ".join(_NAMES[each] for each in expected)
        given = _NAMES.get(type(value), "something else")
        sentence = f"The field {path} is {names}, not {given}."
        raise WrongType(sentence, fields={path: [sentence]}, field=path, expected=names, given=given)
    if isinstance(field, serializers.Serializer) and isinstance(value, Mapping):
        for name, each in field.fields.items():
            if name in value and not each.read_only:
                refuse_wrong_types(each, value[name], path=f"{path}.{name}" if path else name)
    elif isinstance(field, serializers.ListField | serializers.ListSerializer) and isinstance(value, list):
        for number, item in enumerate(value):
            refuse_wrong_types(field.child, item, path=f"{path}[{number}]")
    elif isinstance(field, serializers.DictField) and isinstance(value, Mapping):
        for name, item in value.items():
            refuse_wrong_types(field.child, item, path=f"{path}.{name}"[:200])


def types_of(field: Any) -> tuple[type, ...]:
    """The Python types of the JSON values that the field takes; empty where any is taken."""
    if isinstance(field, serializers.ChoiceField) and not isinstance(field, serializers.MultipleChoiceField):
        return tuple(kind for kind in (str, int) if any(isinstance(choice, kind) for choice in field.choices))
    return next((types for kind, types in _TYPES if isinstance(field, kind)), ())


def _is_one_of(value: Any, types: tuple[type, ...]) -> bool:
    if isinstance(value, bool):  # which Python counts among the integers
        return bool in types
    return isinstance(value, types)
