"""What an answer shows of a value."""

from typing import Any

from rest_framework.serializers import BaseSerializer


def shown(serializer: type[BaseSerializer[Any]], value: Any) -> Any:
    """The value as the serializer shows it, for serializers that need no context.

    A serializer copies its declared fields for each instance, which takes longer than showing a value does. Showing
    changes nothing in it, so all threads use one.
    """
    known = _instances.get(serializer)
    if known is None:
        known = _instances[serializer] = serializer()
    return known.to_representation(value)


_instances: dict[type[BaseSerializer[Any]], BaseSerializer[Any]] = {}
