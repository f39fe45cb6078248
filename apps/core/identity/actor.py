"""The actor of an event: who caused it, from which session, and a commitment to the network address and user agent.

Events are never changed, so no address or user agent is in them. An event carries the SHA-256 of a random salt and
those two; they and the salt are a row of `client_record`, which can be erased. The event then reveals nothing, and its
hash still holds (docs/adr/0009).
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from uuid import UUID

from django.conf import settings

from apps.core.identity.client_info import ClientInfo

SALT_BYTES = 16


class ActorKind(StrEnum):
    USER = "user"
    STAFF = "staff"
    ANONYMOUS = "anonymous"
    SERVICE = "service"


@dataclass(frozen=True)
class Actor:
    """`id` is an account's id for users and staff, a process's name for services, empty for anonymous callers.

    `session_id` is the session of the caller's token, or of the staff site; `key_id` a machine key's id.
    """

    kind: ActorKind
    id: str = ""
    session_id: UUID | None = None
    key_id: UUID | None = None

    @property
    def user_id(self) -> UUID | None:
        return UUID(self.id) if self.kind in (ActorKind.USER, ActorKind.STAFF) else None

    def text(self, *, client_digest: bytes | None = None) -> str:
        """The form in which events carry it: a JSON object without absent members, its names sorted."""
        members = {
            "kind": self.kind.value,
            "id": self.id,
            "session": str(self.session_id or ""),
            "key": str(self.key_id or ""),
            "client": client_digest.hex() if client_digest else "",
        }
        present = {name: value for name, value in members.items() if value}
        return json.dumps(present, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class ClientRecord:
    """Network address and user agent of a request, with the salt of their digest."""

    client: ClientInfo
    salt: bytes

    @cached_property
    def digest(self) -> bytes:
        """What events carry in place of the two."""
        return client_digest(salt=self.salt, address=self.client.address, user_agent=self.client.user_agent)


def client_digest(*, salt: bytes, address: str | None, user_agent: str) -> bytes:
    """SHA-256 of the salt and of the JSON array of address and user agent. Without the salt it cannot be guessed."""
    return hashlib.sha256(salt + json.dumps([address, user_agent]).encode()).digest()


class Origin:
    """Where the messages of one request come from. The actor is anonymous until the caller has been identified."""

    def __init__(self, client: Callable[[], ClientInfo]) -> None:
        self._client = client
        self._identity: Actor | Callable[[], Actor] = Actor(ActorKind.ANONYMOUS)

    def identify(self, identity: Actor | Callable[[], Actor]) -> None:
        """Names the caller. A callable is called when the first message is published."""
        self._identity = identity

    @property
    def actor(self) -> Actor:
        if not isinstance(self._identity, Actor):
            self._identity = self._identity()
        return self._identity

    @cached_property
    def client_record(self) -> ClientRecord | None:
        """One salt a request: events of two requests cannot be linked by their digests."""
        client = self._client()
        return ClientRecord(client, secrets.token_bytes(SALT_BYTES)) if client.address or client.user_agent else None


_current: ContextVar[Origin | None] = ContextVar("origin", default=None)


@contextmanager
def request_origin(client: Callable[[], ClientInfo]) -> Iterator[Origin]:
    """Messages published inside the block come from this client, which is asked for when the first one is."""
    origin = Origin(client)
    token = _current.set(origin)
    try:
        yield origin
    finally:
        _current.reset(token)


def identify_actor(identity: Actor | Callable[[], Actor]) -> None:
    """Names the caller of the current request; without a request, does nothing."""
    origin = _current.get()
    if origin is not None:
        origin.identify(identity)


def current_actor() -> Actor:
    """The caller of the current request, or this process where there is none."""
    origin = _current.get()
    return origin.actor if origin else Actor(ActorKind.SERVICE, settings.PROCESS or settings.SERVICE)


def current_client() -> ClientRecord | None:
    """Address and user agent of the current request."""
    origin = _current.get()
    return origin.client_record if origin else None
