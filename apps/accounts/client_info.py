"""Where a request comes from."""

import ipaddress
from dataclasses import dataclass

from django.http import HttpRequest


@dataclass(frozen=True)
class Client:
    """A caller's network address and software, as far as they can be known."""

    address: str | None
    user_agent: str


def client_of(request: HttpRequest) -> Client:
    return Client(address=address_of(request), user_agent=request.headers.get("User-Agent", "")[:200])


def address_of(request: HttpRequest) -> str | None:
    """The caller's address: what the gateway appended to X-Forwarded-For, where the gateway is who is asking.

    Only the last entry counts, and only from a private network: what stands before it is the caller's own word.
    """
    peer = _address(request.META.get("REMOTE_ADDR", ""))
    forwarded = _address(request.headers.get("X-Forwarded-For", "").rpartition(",")[2])
    if peer is None or (forwarded is not None and peer.is_private):
        peer = forwarded
    return str(peer) if peer else None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
