"""Addresses of the exchanges, and the checks that keep paper and live apart."""

import ipaddress
import socket
import time
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from apps.core.terms import Mode
from apps.exchange.errors import LiveExchangeNotConfigured, UnsafeExchangeUrl

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

KRAKEN_URL = "https://api.kraken.com"
_KRAKEN = "kraken.com"
_PORTS = {"http": 80, "https": 443}

# How long a host's addresses are kept.
_RESOLVED_SECONDS = 60


def exchange_url(mode: Mode) -> str:
    """The checked address of a mode's exchange. Raises UnsafeExchangeUrl, LiveExchangeNotConfigured."""
    paper, live = settings.ENVIRONMENT.paper_exchange_url, live_exchange_url()
    paper_parts = _checked("MUCKARD_PAPER_EXCHANGE_URL", paper)
    if live is not None and _are_one_server(paper_parts, _checked("MUCKARD_KRAKEN_URL", live)):
        raise UnsafeExchangeUrl("MUCKARD_PAPER_EXCHANGE_URL and MUCKARD_KRAKEN_URL must not be the same server.")
    host = (urlsplit(paper).hostname or "").rstrip(".")
    if host == _KRAKEN or host.endswith(f".{_KRAKEN}"):
        raise UnsafeExchangeUrl("MUCKARD_PAPER_EXCHANGE_URL names Kraken itself.")
    match mode:
        case Mode.PAPER:
            return str(paper)
        case Mode.LIVE:
            if live is None:
                raise LiveExchangeNotConfigured(
                    "This installation is for paper trading: it has no address of a live exchange. An operator sets "
                    "MUCKARD_LIVE_TRADING, or MUCKARD_KRAKEN_URL alone to wind down."
                )
            return live
    raise UnsafeExchangeUrl(f"There is no mode {mode!r}.")


def live_exchange_url() -> str | None:
    """MUCKARD_KRAKEN_URL, and Kraken's where live trading is on. None: this process has no live address at all."""
    given: str | None = settings.ENVIRONMENT.kraken_url
    if given is not None:
        return given
    return KRAKEN_URL if settings.LIVE_TRADING else None


def _checked(variable: str, url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise UnsafeExchangeUrl(f"{variable} must look like https://host:port.")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise UnsafeExchangeUrl(f"{variable} must name a host alone: the SDK drops what follows it.")
    if parts.scheme == "http" and variable == "MUCKARD_KRAKEN_URL" and parts.hostname not in LOOPBACK:
        raise UnsafeExchangeUrl(f"{variable} must begin with https.")
    return parts


def _are_one_server(one: SplitResult, other: SplitResult) -> bool:
    """Whether two addresses share a port and a host, by name or by what the names resolve to."""
    if (one.port or _PORTS[one.scheme]) != (other.port or _PORTS[other.scheme]):
        return False
    names = [(parts.hostname or "").rstrip(".") for parts in (one, other)]
    if names[0] == names[1]:
        return True
    period = int(time.monotonic() // _RESOLVED_SECONDS)
    return not _resolved(names[0], period).isdisjoint(_resolved(names[1], period))


@lru_cache(maxsize=16)
def _resolved(host: str, period: int) -> frozenset[str]:  # noqa: ARG001 (the period is when it was asked for)
    """The host's addresses, every loopback address as one. Empty where it does not resolve: no call gets there."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(_normalized(str(entry[4][0])) for entry in found)


def _normalized(address: str) -> str:
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return "loopback" if ip.is_loopback or ip.is_unspecified else str(ip)
