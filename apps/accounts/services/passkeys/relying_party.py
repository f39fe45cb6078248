"""The relying party: under which host name browsers offer passkeys of this platform."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from apps.accounts.errors import PasskeysUnavailable

NAME = "Muckard"
_LOCALHOST = "localhost"


@dataclass(frozen=True)
class RelyingParty:
    """`id` is a host name, `origin` the one that the browser reports, such as https://muckard.example."""

    id: str
    origin: str


def relying_party() -> RelyingParty:
    """Follows MUCKARD_PUBLIC_URL. Raises PasskeysUnavailable where browsers would refuse: they take host names only,
    and HTTPS, except on localhost (WebAuthn Level 3, 5.1.2). A loopback address counts as localhost.
    """
    url = urlsplit(settings.ENVIRONMENT.public_url)
    host = url.hostname or ""
    try:
        if not ipaddress.ip_address(host).is_loopback:
            raise PasskeysUnavailable(f"{host} is not a host name.")
        host = _LOCALHOST
    except ValueError:
        pass
    is_local = host == _LOCALHOST or host.endswith(f".{_LOCALHOST}")
    if not host or not (url.scheme == "https" or is_local):
        raise PasskeysUnavailable("Browsers want HTTPS for them.")
    is_usual_port = url.port in (None, {"https": 443, "http": 80}.get(url.scheme))
    return RelyingParty(host, f"{url.scheme}://{host}" + ("" if is_usual_port else f":{url.port}"))
