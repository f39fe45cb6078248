"""The gateway's certificate: one that is given, or one that signs itself, made here."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dev.base.errors import StackError
from dev.base.profile import ROOT, Profile, write_atomically

SELF_SIGNED = "self-signed"
VARIABLES = frozenset({"MUCKARD_TLS", "MUCKARD_TLS_CERTIFICATE_FILE", "MUCKARD_TLS_KEY_FILE"})

_MAKE = """
import datetime, ipaddress, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization as s
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Muckard on this machine")])
now = datetime.datetime.now(datetime.UTC)
names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
made = (
    x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    .serial_number(x509.random_serial_number())
    .not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + datetime.timedelta(days=397))
    .add_extension(x509.SubjectAlternativeName([*names, x509.IPAddress(ipaddress.ip_address("::1"))]), critical=False)
    .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    .sign(key, hashes.SHA256())
)
print(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode())
print(made.public_bytes(s.Encoding.PEM).decode())
"""
_IS_GOOD = """
import datetime, sys
from cryptography import x509
end = x509.load_pem_x509_certificate(open(sys.argv[1], "rb").read()).not_valid_after_utc
sys.exit(end < datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30))
"""


@dataclass(frozen=True)
class Certificate:
    """Files in PEM: the certificate with its chain, and its private key."""

    certificate: Path
    key: Path


def is_on(environ: Mapping[str, str]) -> bool:
    """Whether the gateway speaks TLS. Raises StackError for a value of MUCKARD_TLS that means nothing."""
    kind = environ.get("MUCKARD_TLS", "")
    if kind not in ("", "off", SELF_SIGNED):
        raise StackError(
            f"MUCKARD_TLS={kind!r} means nothing.",
            advice=f"use {SELF_SIGNED}, or name MUCKARD_TLS_CERTIFICATE_FILE and MUCKARD_TLS_KEY_FILE",
        )
    return kind == SELF_SIGNED or bool(environ.get("MUCKARD_TLS_CERTIFICATE_FILE"))


def is_self_signed(environ: Mapping[str, str]) -> bool:
    return is_on(environ) and not environ.get("MUCKARD_TLS_CERTIFICATE_FILE")


def of(profile: Profile, environ: Mapping[str, str]) -> Certificate | None:
    """The certificate of this profile, None where the gateway speaks no TLS. Raises StackError.

    One that signs itself is made where it is asked for and is missing, or ends within a month.
    """
    if not is_on(environ):
        return None
    if is_self_signed(environ):
        return _self_signed(profile)
    given = [environ.get(f"MUCKARD_TLS_{part}_FILE", "") for part in ("CERTIFICATE", "KEY")]
    for part, path in zip(("CERTIFICATE", "KEY"), given, strict=True):
        if not Path(path).is_file():
            raise StackError(f"MUCKARD_TLS_{part}_FILE={path!r} is no file.", advice="name both files, in PEM")
    return Certificate(*(Path(path).absolute() for path in given))


def self_signed_files(profile: Profile) -> Certificate:
    """Where the certificate that signs itself is, made or not."""
    folder = profile.folder / "tls"
    return Certificate(folder / "certificate.pem", folder / "key.pem")


def _self_signed(profile: Profile) -> Certificate:
    files = self_signed_files(profile)
    if files.certificate.is_file() and files.key.is_file() and not _python(_IS_GOOD, str(files.certificate)).returncode:
        return files
    made = _python(_MAKE)
    if made.returncode:
        raise StackError(f"The certificate could not be made: {made.stderr.strip()[-200:]}")
    end = "-----END PRIVATE KEY-----\n"
    key, _, certificate = made.stdout.partition(end)
    # The certificate last: an interruption leaves a pair that is made again.
    files.certificate.unlink(missing_ok=True)
    write_atomically(files.key, key + end, mode=0o600)
    write_atomically(files.certificate, certificate.strip() + "\n")
    return files


def _python(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(ROOT / ".venv/bin/python"), "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
