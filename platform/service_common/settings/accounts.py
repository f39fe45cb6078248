"""Accounts: passwords, log-in rules, mail. For the two projects that have the accounts: the user service and the staff
site. Only the user service signs tokens."""

import sys
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from service_common.environment import Environment, InvalidEnvironment, environment
from service_common.settings.factory import ROOT

MINIMUM_PASSWORD_LENGTH = 12
STAFF_SESSION_SECONDS = 8 * 3600
_VALIDATORS = "django.contrib.auth.password_validation"


def account_settings(service: str, *, signs_tokens: bool = False) -> dict[str, Any]:
    """Settings of a project that has the accounts. Ends the process with one sentence where a secret is missing."""
    env = environment(service)
    try:
        if signs_tokens and not env.is_background:
            _require_signing_keys(env)
        return {
            "AUTH_USER_MODEL": "accounts.User",
            "SESSIONS_PER_USER": env.sessions_per_user,
            "AUTHENTICATION_BACKENDS": ["apps.accounts.backends.RoleBackend"],
            "PASSWORD_HASHERS": ["apps.accounts.hashers.Argon2idHasher"],
            "AUTH_PASSWORD_VALIDATORS": [
                {
                    "NAME": f"{_VALIDATORS}.MinimumLengthValidator",
                    "OPTIONS": {"min_length": MINIMUM_PASSWORD_LENGTH},
                },
                {
                    "NAME": f"{_VALIDATORS}.UserAttributeSimilarityValidator",
                    "OPTIONS": {"user_attributes": ("email", "name")},
                },
                {"NAME": f"{_VALIDATORS}.CommonPasswordValidator"},
                {"NAME": f"{_VALIDATORS}.NumericPasswordValidator"},
            ],
            **_mail(env),
        }
    except InvalidEnvironment as error:
        sys.exit(str(error))


def staff_session_settings(service: str) -> dict[str, Any]:
    """Of the staff site (rules: apps.accounts.staff_sessions). Ends the process where MFA is off in production."""
    env = environment(service)
    if env.environment == "production" and not env.staff_mfa:
        sys.exit("MUCKARD_STAFF_MFA=false is for development and tests: in production staff need a second factor.")
    return {
        "STAFF_MFA_REQUIRED": env.staff_mfa,
        "SESSION_COOKIE_AGE": STAFF_SESSION_SECONDS,
        "SESSION_EXPIRE_AT_BROWSER_CLOSE": True,
    }


def _require_signing_keys(env: Environment) -> None:
    env.secret("mfa_key", needed_for="one-time passwords at log-in")
    env.secret("signing_vault_key", needed_for="the signing keys in the database")
    private_pem = env.secret("jwt_private_key", needed_for="signing access tokens")
    public_pem = env.secret("jwt_public_key", needed_for="verifying access tokens")
    try:
        private = load_pem_private_key(private_pem.encode(), password=None)
        public = load_pem_public_key(public_pem.encode())
    except ValueError:
        raise InvalidEnvironment("MUCKARD_JWT_PRIVATE_KEY and MUCKARD_JWT_PUBLIC_KEY must be keys in PEM.") from None
    if not isinstance(private, EllipticCurvePrivateKey) or not isinstance(public, EllipticCurvePublicKey):
        raise InvalidEnvironment("MUCKARD_JWT_PRIVATE_KEY and MUCKARD_JWT_PUBLIC_KEY must be EC keys (ES256).")
    if not isinstance(private.curve, SECP256R1):
        raise InvalidEnvironment("MUCKARD_JWT_PRIVATE_KEY must be a key on the curve P-256 (ES256).")
    if private.public_key().public_numbers() != public.public_numbers():
        raise InvalidEnvironment(
            "MUCKARD_JWT_PUBLIC_KEY is not the public half of MUCKARD_JWT_PRIVATE_KEY: no service would accept a token."
        )


def _mail(env: Environment) -> dict[str, Any]:
    """SMTP where an address is given; otherwise each mail becomes a file, so that development needs no mail server."""
    sender = {"DEFAULT_FROM_EMAIL": env.mail_from, "EMAIL_TIMEOUT": 10}
    if env.smtp_url is None:
        return {
            **sender,
            "EMAIL_BACKEND": "apps.accounts.mail_files.OwnerOnlyEmailBackend",
            "EMAIL_FILE_PATH": ROOT / ".local" / "mail",
        }
    url = urlsplit(env.smtp_url.get_secret_value())
    if url.scheme not in ("smtp", "smtps") or not url.hostname:
        raise InvalidEnvironment(
            "MUCKARD_SMTP_URL must look like smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465."
        )
    return {
        **sender,
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": url.hostname,
        "EMAIL_PORT": url.port or (465 if url.scheme == "smtps" else 587),
        "EMAIL_HOST_USER": unquote(url.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(url.password or ""),
        "EMAIL_USE_SSL": url.scheme == "smtps",
        "EMAIL_USE_TLS": url.scheme == "smtp" and url.hostname not in ("127.0.0.1", "localhost", "::1"),
    }
