"""The certificate that clients see is read from the public address."""

import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client import REGISTRY

from apps.core.gateway_certificate import CertificateReader

ENDS_AT = datetime(2027, 3, 1, tzinfo=UTC)


def certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = builder.not_valid_before(ENDS_AT - timedelta(days=365)).not_valid_after(ENDS_AT).sign(key, hashes.SHA256())
    path = folder / "tls.pem"
    no_password = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


def test_the_end_of_the_certificate_is_told_though_nobody_vouches_for_it(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    server = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    CertificateReader(f"https://localhost:{server.server_port}")()

    server.shutdown()
    assert REGISTRY.get_sample_value("tls_certificate_expiry_timestamp_seconds", {"host": "localhost"}) == (
        ENDS_AT.timestamp()
    )


def test_an_address_without_tls_is_not_asked() -> None:
    CertificateReader("http://127.0.0.1:1")()


def test_an_address_that_does_not_answer_is_asked_again_after_ten_minutes() -> None:
    now = [0.0]
    read = CertificateReader("https://127.0.0.1:1", clock=lambda: now[0])

    for seconds in (0.0, 601.0):
        now[0] = seconds
        with pytest.raises(OSError):
            read()
        read()  # not due
