"""Secrets of a profile: created once, kept in files that only this user can read, never printed.

There is one folder for each service and database role. A process gets `common` and its own. `owner` is for the database
set-up.
"""

import base64
import os
import secrets
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from dev.base.errors import StackError
from dev.base.profile import ROOT, Profile, write_atomically

# Services of the API: each signs its calls to the others
SERVICES = ("user", "kraken", "bot", "staff", "paper")
# All that serve HTTP behind the gateway
WEB = (*SERVICES, "console")
# Login role in PostgreSQL: the folder of the processes that use it
ROLES = {
    "user_service": "user",
    "kraken_service": "kraken",
    "bot_service": "bot",
    "relay": "relay",
    "dispatcher": "dispatcher",
    "sealer": "sealer",
    "verifier": "verifier",
    "staff_site": "staff",
    "paper_exchange": "paper",
}


def password() -> str:
    return secrets.token_urlsafe(24)


def signing_key() -> str:
    """Django asks for 50 characters."""
    return secrets.token_urlsafe(48)


def base64_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


# file name: (folders that hold it, what makes it)
SHARED: Mapping[str, tuple[tuple[str, ...], Callable[[], str]]] = {
    "muckard_vault_key": (("kraken", "bot"), base64_key),
    "muckard_mfa_key": (("user", "staff"), base64_key),
    "muckard_signing_vault_key": (("user",), base64_key),
    "muckard_flower_password": (("bot",), password),
    "muckard_admin_password": (("staff",), password),
    "muckard_demo_password": (("staff",), password),
    **{f"muckard_db_password_{role}": ((folder, "owner"), password) for role, folder in ROLES.items()},
    "postgres_password": (("servers",), password),
    "rabbitmq_password": (("servers",), password),
    "redis_password": (("servers",), password),
    "grafana_password": (("servers",), password),
    "erlang_cookie": (("servers",), password),
}
# (folder, file name): its own value, even if another folder has a file of the same name
PRIVATE: Mapping[tuple[str, str], Callable[[], str]] = {
    **{(service, "muckard_secret_key"): signing_key for service in WEB},
    # The paper exchange is not the vault: it encrypts the API secrets of its accounts with its own key.
    ("paper", "muckard_vault_key"): base64_key,
}
# (private key's folder and name, public key's folder and name, kind)
KEY_PAIRS = (
    (("user", "muckard_jwt_private_key"), ("common", "muckard_jwt_public_key"), "ec"),
    (("staff", "muckard_audit_signing_key"), ("common", "muckard_audit_public_key"), "ed25519"),
    *(
        ((service, "muckard_service_private_key"), ("common", f"muckard_service_public_key_{service}"), "ec")
        for service in SERVICES
    ),
)

_MAKE_KEY_PAIR = """
import sys
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
key = ec.generate_private_key(ec.SECP256R1()) if sys.argv[1] == "ec" else ed25519.Ed25519PrivateKey.generate()
print(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode())
print(key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo).decode())
"""


def create(profile: Profile) -> None:
    """Creates the secrets that are missing and keeps the existing ones."""
    profile.secrets.mkdir(parents=True, exist_ok=True)
    profile.secrets.chmod(0o700)
    for name, (folders, make) in SHARED.items():
        paths = [profile.secrets / folder / name for folder in folders]
        known = next((path.read_text() for path in paths if path.is_file()), None) or make()
        for path in paths:
            _keep(path, known)
    for (folder, name), make in PRIVATE.items():
        if not (profile.secrets / folder / name).is_file():
            _keep(profile.secrets / folder / name, make())


def create_key_pairs(profile: Profile) -> None:
    """As `create`, for the secrets that need the installed packages."""
    for (private_folder, private_name), (public_folder, public_name), kind in KEY_PAIRS:
        private = profile.secrets / private_folder / private_name
        public = profile.secrets / public_folder / public_name
        if private.is_file() and public.is_file():
            continue
        made = subprocess.run(
            [ROOT / ".venv/bin/python", "-c", _MAKE_KEY_PAIR, kind], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise StackError(f"The key pair for {private_name} could not be made: {made.stderr.strip()[-200:]}")
        end = "-----END PRIVATE KEY-----\n"
        private_text, _, public_text = made.stdout.partition(end)
        # The public key first: after an interruption, a pair without its private key is created again.
        _keep(public, public_text.strip() + "\n")
        _keep(private, private_text + end)


def read(profile: Profile, folder: str, name: str) -> str:
    """Reads one secret. Raises StackError if it does not exist."""
    path = profile.secrets / folder / name
    try:
        return path.read_text().strip()
    except OSError as error:
        raise StackError(f"The secret {path} cannot be read: {error.strerror}.") from None


def _keep(path: Path, value: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.is_file() or path.read_text() != value:
        write_atomically(path, value, mode=0o600)
    os.chmod(path, 0o600)  # noqa: PTH101
