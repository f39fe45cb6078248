"""A misconfigured user service refuses to start, with one sentence."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.core.mail import EmailMessage
from pydantic import SecretStr

from apps.accounts.mail_files import OwnerOnlyEmailBackend
from service_common.environment import Environment, environment
from service_common.settings import accounts
from service_common.settings.accounts import account_settings


def _pem(key: Any) -> tuple[SecretStr, SecretStr]:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return SecretStr(private.decode()), SecretStr(public.decode())


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Overrides variables of a working environment of the user service."""
    private, public = _pem(ec.generate_private_key(ec.SECP256R1()))
    good = {
        "jwt_private_key": private,
        "jwt_public_key": public,
        "mfa_key": SecretStr("x"),
        "signing_vault_key": SecretStr("x"),
        "smtp_url": None,
    }

    def give(**changes: Any) -> None:
        made: Environment = environment("user").model_copy(update={**good, **changes})
        monkeypatch.setattr(accounts, "environment", lambda service: made)

    return give


def test_with_everything_there_it_starts(given: Any) -> None:
    given()

    assert account_settings("user", signs_tokens=True)["AUTH_USER_MODEL"] == "accounts.User"


OTHER_PUBLIC = _pem(ec.generate_private_key(ec.SECP256R1()))[1]
ED_PRIVATE, ED_PUBLIC = _pem(ed25519.Ed25519PrivateKey.generate())
P384_PRIVATE, P384_PUBLIC = _pem(ec.generate_private_key(ec.SECP384R1()))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"jwt_private_key": None}, "MUCKARD_JWT_PRIVATE_KEY is missing"),
        ({"jwt_public_key": None}, "MUCKARD_JWT_PUBLIC_KEY is missing"),
        ({"mfa_key": None}, "MUCKARD_MFA_KEY is missing"),
        ({"signing_vault_key": None}, "MUCKARD_SIGNING_VAULT_KEY is missing"),
        ({"jwt_private_key": SecretStr("not a key")}, "must be keys in PEM"),
        ({"jwt_public_key": OTHER_PUBLIC}, "is not the public half"),
        ({"jwt_private_key": ED_PRIVATE, "jwt_public_key": ED_PUBLIC}, "must be EC keys"),
        ({"jwt_private_key": P384_PRIVATE, "jwt_public_key": P384_PUBLIC}, "on the curve P-256"),
        ({"smtp_url": SecretStr("mail.example.com")}, "MUCKARD_SMTP_URL must look like"),
        ({"smtp_url": SecretStr("http://mail.example.com")}, "MUCKARD_SMTP_URL must look like"),
    ],
)
def test_what_is_missing_or_wrong_ends_the_process_with_a_sentence(
    given: Any, changes: dict[str, Any], sentence: str
) -> None:
    given(**changes)

    with pytest.raises(SystemExit, match=sentence) as ended:
        account_settings("user", signs_tokens=True)
    for value in changes.values():
        assert value is None or value.get_secret_value() not in str(ended.value)


def test_the_staff_site_signs_nothing_and_starts_without_the_signing_key(given: Any) -> None:
    given(jwt_private_key=None, mfa_key=None)

    assert account_settings("staff")["AUTH_USER_MODEL"] == "accounts.User"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtps://me:p%40ss@mail.example.com", ("mail.example.com", 465, "me", "p@ss", True, False)),
        ("smtp://me:secret@mail.example.com:2525", ("mail.example.com", 2525, "me", "secret", False, True)),
        ("smtp://127.0.0.1:1025", ("127.0.0.1", 1025, "", "", False, False)),
    ],
)
def test_a_mail_server_by_url(given: Any, url: str, expected: tuple[Any, ...]) -> None:
    given(smtp_url=SecretStr(url))
    made = account_settings("user")

    names = ("HOST", "PORT", "HOST_USER", "HOST_PASSWORD", "USE_SSL", "USE_TLS")
    assert tuple(made[f"EMAIL_{name}"] for name in names) == expected


def test_without_a_mail_server_each_mail_becomes_a_file(given: Any) -> None:
    given()
    made = account_settings("user")

    assert made["EMAIL_BACKEND"].endswith("mail_files.OwnerOnlyEmailBackend")
    assert made["EMAIL_FILE_PATH"].parts[-2:] == (".local", "mail")


def test_a_mail_file_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    backend = OwnerOnlyEmailBackend(file_path=str(tmp_path))

    assert backend.send_messages([EmailMessage(subject="Hello", body="A code", to=["ada@example.com"])]) == 1

    [file] = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "A code" in file.read_text()
