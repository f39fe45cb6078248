"""When the certificate ends that clients of the gateway see. A process that reaches the internet looks at it."""

import socket
import ssl
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from cryptography import x509

from apps.core.metrics import gauge

expiry = gauge(
    "tls_certificate_expiry_timestamp_seconds",
    "When the certificate of the public address ends, in Unix time; without a value where it does not speak TLS.",
    ["host"],
    processes=["reconciler"],
)

SECONDS_BETWEEN = 600.0
CONNECT_SECONDS = 5.0


class CertificateReader:
    """Reads the certificate of an address every ten minutes. `clock` is monotonic."""

    def __init__(self, public_url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._parts = urlsplit(public_url)
        self._clock = clock
        self._due_at = float("-inf")

    def __call__(self) -> None:
        """Sets the gauge, if that is due. Raises OSError where the address does not answer."""
        if self._parts.scheme != "https" or not self._parts.hostname or self._clock() < self._due_at:
            return
        self._due_at = self._clock() + SECONDS_BETWEEN
        expiry.labels(self._parts.hostname).set(certificate_end(self._parts.hostname, self._parts.port or 443))


def certificate_end(host: str, port: int) -> float:
    """When the server's certificate ends, in Unix time. One that nobody vouches for is read too. Raises OSError."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=CONNECT_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=host) as tls,
    ):
        certificate = tls.getpeercert(binary_form=True)
    if certificate is None:
        raise OSError(f"{host}:{port} has shown no certificate.")
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc.timestamp()
