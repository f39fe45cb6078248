"""Certificates of everything that is reached by TLS: trusted, for the right name, and not about to end."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings

from apps.ops.verification.outcome import Outcome, problem

SECONDS = 5.0
ENDS_SOON = timedelta(days=14)
_DEFAULT_PORTS = {"https": 443, "amqps": 5671, "rediss": 6379}


def certificates(gateway: str, now: datetime) -> Iterator[Outcome]:
    env = settings.ENVIRONMENT
    urls = {"gateway": gateway, "rabbitmq": env.rabbitmq_url, "redis": env.redis_url, "exchange": env.kraken_url or ""}
    for name, url in urls.items():
        parts = urlsplit(url)
        if parts.scheme in _DEFAULT_PORTS and parts.hostname:
            yield certificate(name, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme], now=now)
    if env.kafka_security_protocol.endswith("SSL"):
        for server in env.kafka_bootstrap_servers:
            host, _, port = server.rpartition(":")
            yield certificate("kafka", host, int(port), now=now, ca_file=env.kafka_ca_file)


def certificate(name: str, host: str, port: int, *, now: datetime, ca_file: object = None) -> Outcome:
    check = f"certificate {name} {host}:{port}"
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    try:
        with (
            socket.create_connection((host, port), timeout=SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            shown: Mapping[str, object] = secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return problem(
            check, error.verify_message, "Install one that clients trust, for this name (docs/deployment.md)."
        )
    except (OSError, ssl.SSLError) as error:
        return problem(check, f"No TLS: {error}.", "Start it: see the checks of dependencies.")
    ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
    if ends_at - now < ENDS_SOON:
        return problem(check, f"It ends on {ends_at:%Y-%m-%d}.", "Renew it now; the process reads it when it starts.")
    return Outcome(check, True, f"until {ends_at:%Y-%m-%d}")
