"""A call that changes something, with what it has to leave in the event store."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from tests.factories.fake_exchange import FakeExchange
from tests.integration.bots.conftest import World


@dataclass(frozen=True)
class Place:
    """Where a mutation happens: the fakes of exchange and market; all else is real."""

    world: World
    exchange: FakeExchange


class Client(Protocol):
    def generic(self, method: str, path: str, *args: Any, **kwargs: Any) -> Any: ...


@dataclass(frozen=True)
class Asked:
    """The call as it will be made: by whom, of which things, with which body."""

    client: Any
    body: dict[str, Any] | None = None
    ids: dict[str, object] | None = None
    actor: UUID | None = None


@dataclass(frozen=True)
class Mutation:
    """`call` is method and path. `events` are the types it publishes; none has a reason instead."""

    call: str
    prepare: Callable[[Place], Asked]
    events: frozenset[str] = frozenset()
    why_none: str = ""


def publishes(call: str, *events: str) -> Callable[[Callable[[Place], Asked]], Mutation]:
    return lambda prepare: Mutation(call, prepare, frozenset(events))


def publishes_nothing(call: str, why: str) -> Callable[[Callable[[Place], Asked]], Mutation]:
    return lambda prepare: Mutation(call, prepare, why_none=why)
