"""Client info: network address and user agent of a request."""

import ipaddress
from dataclasses import dataclass

from django.http import HttpRequest


@dataclass(frozen=True)
class ClientInfo:
    """Network address and user agent of a caller. `address` is None if it cannot be determined."""

    address: str | None
    user_agent: str


def client_info_of(request: HttpRequest) -> ClientInfo:
    return ClientInfo(address=address_of(request), user_agent=request.headers.get("User-Agent", "")[:200])


def address_of(request: HttpRequest) -> str | None:
    """The caller's network address: the entry that the gateway appended to X-Forwarded-For, else the peer's address.

    Only the last entry counts, and only if the peer is in a private network: the caller can forge all earlier entries.
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
