"""Addresses of the exchanges, and the checks that keep paper and live apart."""

from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from apps.core.terms import Mode
from apps.exchange.errors import UnsafeExchangeUrl

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_KRAKEN = "kraken.com"
_PORTS = {"http": 80, "https": 443}


def exchange_url(mode: Mode) -> str:
    """The checked address of a mode's exchange. Raises UnsafeExchangeUrl."""
    paper, live = settings.ENVIRONMENT.paper_exchange_url, settings.ENVIRONMENT.kraken_url
    if _origin(_checked("MUCKARD_PAPER_EXCHANGE_URL", paper)) == _origin(_checked("MUCKARD_KRAKEN_URL", live)):
        raise UnsafeExchangeUrl("MUCKARD_PAPER_EXCHANGE_URL and MUCKARD_KRAKEN_URL must not be the same.")
    host = urlsplit(paper).hostname or ""
    if host == _KRAKEN or host.endswith(f".{_KRAKEN}"):
        raise UnsafeExchangeUrl("MUCKARD_PAPER_EXCHANGE_URL names Kraken itself.")
    match mode:
        case Mode.PAPER:
            return str(paper)
        case Mode.LIVE:
            return str(live)
    raise UnsafeExchangeUrl(f"There is no mode {mode!r}.")


def _checked(variable: str, url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise UnsafeExchangeUrl(f"{variable} must look like https://host:port.")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise UnsafeExchangeUrl(f"{variable} must name a host alone: the SDK drops what follows it.")
    if parts.scheme == "http" and variable == "MUCKARD_KRAKEN_URL" and parts.hostname not in LOOPBACK:
        raise UnsafeExchangeUrl(f"{variable} must begin with https.")
    return parts


def _origin(parts: SplitResult) -> tuple[str, int]:
    return (parts.hostname or "").rstrip("."), parts.port or _PORTS[parts.scheme]
