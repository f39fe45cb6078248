"""Kraken's API methods by name. To add a method, decorate a function with `public` or `private`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apps.paper.api.params import Params
from apps.paper.models import ApiKey

PublicMethod = Callable[[Params], Any]
PrivateMethod = Callable[[ApiKey, Params], Any]


@dataclass(frozen=True, slots=True)
class Private:
    """`permissions`: any one of them suffices; if it is empty, none is needed."""

    call: PrivateMethod
    permissions: frozenset[str]


PUBLIC: dict[str, PublicMethod] = {}
PRIVATE: dict[str, Private] = {}


def public(name: str) -> Callable[[PublicMethod], PublicMethod]:
    def register(call: PublicMethod) -> PublicMethod:
        PUBLIC[name] = call
        return call

    return register


def private(name: str, *permissions: str) -> Callable[[PrivateMethod], PrivateMethod]:
    def register(call: PrivateMethod) -> PrivateMethod:
        PRIVATE[name] = Private(call, frozenset(permissions))
        return call

    return register
