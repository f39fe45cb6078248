"""Key pairs of services for tests: the process under test stands for both sides of a call."""

from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from apps.core.identity.jwk import pem_of


@cache
def key_pair(service: str) -> tuple[str, str]:
    """Private and public key in PEM, the same for a service each time."""
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), pem_of(key.public_key())


def call_as(settings: Any, service: str = "kraken") -> None:
    """Signs service tokens as this service from now on, and lets its public key be known."""
    private, public = key_pair(service)
    settings.SERVICE = service
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(
        update={
            "service_private_key": SecretStr(private),
            f"service_public_key_{service}": SecretStr(public),
        }
    )
