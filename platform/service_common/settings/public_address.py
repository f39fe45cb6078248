"""Where clients find the platform, and what follows from it: hosts, cookies, the origins of forms."""

from typing import Any
from urllib.parse import urlsplit

from service_common.environment import Environment, InvalidEnvironment

YEAR_SECONDS = 365 * 24 * 3600
# `manage.py check --deploy` asks for these; the gateway does them for every service.
DONE_BY_THE_GATEWAY = [
    # The redirect to HTTPS. Services are called by plain HTTP from inside: health checks, metrics, the paper exchange.
    "security.W008",
    # Preloading is a promise for the whole domain, which its owner makes.
    "security.W021",
]
# Of projects without cookies: no form to forge, and the gateway forbids every frame.
WITHOUT_COOKIES = ["security.W002", "security.W003"]


def public_address(env: Environment, *, has_cookies: bool) -> dict[str, Any]:
    """Settings that follow from MUCKARD_PUBLIC_URL. Raises InvalidEnvironment."""
    url = urlsplit(env.public_url)
    if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/") or url.query:
        raise InvalidEnvironment("MUCKARD_PUBLIC_URL must look like https://trade.example.com, without a path.")
    settings: dict[str, Any] = {
        "ALLOWED_HOSTS": list(dict.fromkeys([*env.allowed_hosts, url.hostname])),
        "CSRF_TRUSTED_ORIGINS": [f"{url.scheme}://{url.netloc}"],
        # The gateway sets it on every request: to its own scheme, or to what a trusted proxy in front of it says.
        "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
        "SILENCED_SYSTEM_CHECKS": [*DONE_BY_THE_GATEWAY, *([] if has_cookies else WITHOUT_COOKIES)],
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
    }
    if url.scheme == "https":
        settings |= {
            # A browser takes a cookie of this prefix only with Secure, for the whole host and no other
            # (https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis, section 4.1.3.2).
            "SESSION_COOKIE_NAME": "__Host-sessionid",
            "CSRF_COOKIE_NAME": "__Host-csrftoken",
            "SESSION_COOKIE_SECURE": True,
            "CSRF_COOKIE_SECURE": True,
            # The gateway replaces the header by its own, MUCKARD_HSTS_SECONDS.
            "SECURE_HSTS_SECONDS": YEAR_SECONDS,
            "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
        }
    return settings
