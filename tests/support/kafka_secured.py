"""A Kafka of its own that wants TLS and a login, as managed ones do."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dev.servers import kafka
from tests.support.ports import free_port
from tests.support.waiting import eventually

USERNAME = "muckard"
PASSWORD = "correct horse"
STARTED = "Kafka Server started"
CLUSTER = "c2VjdXJlZGthZmthdGVzdA"

_SECURED = """\
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},SASL_SSL://127.0.0.1:{secured_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{secured_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
listener.name.sasl_ssl.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
"""


@dataclass(frozen=True)
class SecuredKafka:
    bootstrap: str
    ca_file: Path


@contextmanager
def secured_kafka(folder: Path) -> Iterator[SecuredKafka]:
    """Listens on a port of its own, with the user above; gone afterwards."""
    ca_file, keystore = _certificate(folder)
    ports = {"port": free_port(), "controller_port": free_port()}
    secured_port = free_port()
    properties = folder / "server.properties"
    properties.write_text(
        kafka.CONFIGURATION.format(data=folder / "data", **ports)
        + _SECURED.format(secured_port=secured_port, keystore=keystore, **ports)
    )
    user = f"SCRAM-SHA-512=[name={USERNAME},password={PASSWORD}]"
    formatting = ("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(properties), "--add-scram", user)
    log = folder / "kafka.log"
    with log.open("w") as output:
        subprocess.run([*kafka.java_command(), *formatting], check=True, stdout=output, stderr=output)
        server = subprocess.Popen([*kafka.java_command(), "kafka.Kafka", properties], stdout=output, stderr=output)
        try:
            eventually(lambda: STARTED in log.read_text() or server.poll(), seconds=60, what="Kafka's start")
            assert server.poll() is None, log.read_text()[-2000:]
            yield SecuredKafka(f"127.0.0.1:{secured_port}", ca_file)
        finally:
            server.kill()
            server.wait()


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate that signs itself, and Kafka's key store with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kafka")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    ca_file, keystore = folder / "ca.pem", folder / "keystore.pem"
    ca_file.write_bytes(certificate)
    keystore.write_bytes(private + certificate)
    return ca_file, keystore
