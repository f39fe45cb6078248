"""Two-factor log-in: time-based one-time passwords (TOTP, RFC 6238), and recovery codes for a lost authenticator."""

import base64
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pyotp
from django.conf import settings
from django.db import transaction

from apps.accounts.errors import MfaAlreadyEnabled, MfaNotSetUp, OtpWrong, PasswordWrong
from apps.accounts.models import MfaDevice, OutgoingMail, RecoveryCode, User
from apps.accounts.services.lockout import lockout_lift
from apps.accounts.services.mail import mail_queue
from apps.accounts.tokens import digest_of
from apps.core.crypto import EncryptedSecret, decrypt, encrypt, vault_key
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated

ISSUER = "Muckard"
STEP_SECONDS = 30
DIGITS = 6
RECOVERY_CODES = 10

# Clock drift: one step in either direction is accepted.
_DRIFT = (0, -1, 1)


@dataclass(frozen=True, repr=False)
class MfaSetup:
    """The secret for an authenticator app. `otpauth_uri` is the content of its QR code."""

    secret: str
    otpauth_uri: str


@transaction.atomic
def mfa_set_up(*, user_id: UUID, password: str, now: datetime) -> MfaSetup:
    """Generates a new secret. Log-in requires no one-time password until it is confirmed.

    Raises PasswordWrong, MfaAlreadyEnabled.
    """
    user = _locked(user_id, password)
    if MfaDevice.objects.filter(user=user).exclude(confirmed_at=None).exists():
        raise MfaAlreadyEnabled()
    secret = pyotp.random_base32()
    encrypted = encrypt(secret.encode(), key=_key(), owner=user.id.bytes)
    MfaDevice.objects.update_or_create(
        user=user,
        defaults={
            "nonce": encrypted.nonce,
            "ciphertext": encrypted.ciphertext,
            "wrapped_key": encrypted.wrapped_key,
            "created_at": now,
            "confirmed_at": None,
            "last_step": 0,
        },
    )
    lockout_lift(email=user.email)
    uri = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER)
    return MfaSetup(secret=secret, otpauth_uri=uri)


@transaction.atomic
def mfa_confirm(*, user_id: UUID, otp: str, now: datetime) -> list[str]:
    """Enables two-factor log-in and returns the recovery codes, which cannot be shown again.

    Raises MfaNotSetUp, MfaAlreadyEnabled, OtpWrong.
    """
    device = MfaDevice.objects.select_for_update().select_related("user").filter(user_id=user_id).first()
    if device is None:
        raise MfaNotSetUp()
    if device.confirmed_at is not None:
        raise MfaAlreadyEnabled()
    if not _accept(device, otp, now):
        raise OtpWrong()
    device.confirmed_at = now
    device.save(update_fields=["confirmed_at"])
    codes = [_new_recovery_code() for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.filter(user_id=user_id).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user_id=user_id, digest=_digest(code)) for code in codes)
    _announce(device.user, OutgoingMail.Kind.MFA_ENABLED, now)
    return codes


@transaction.atomic
def mfa_disable(*, user_id: UUID, password: str, otp: str, now: datetime) -> None:
    """Disables two-factor log-in. Raises PasswordWrong, MfaNotSetUp, OtpWrong."""
    user = _locked(user_id, password)
    if not mfa_is_enabled(user_id=user_id):
        raise MfaNotSetUp()
    if not otp_redeem(user_id=user_id, otp=otp, now=now):
        raise OtpWrong()
    MfaDevice.objects.filter(user=user).delete()
    RecoveryCode.objects.filter(user=user).delete()
    _announce(user, OutgoingMail.Kind.MFA_DISABLED, now)


def mfa_is_enabled(*, user_id: UUID) -> bool:
    return MfaDevice.objects.filter(user_id=user_id, confirmed_at__isnull=False).exists()


@transaction.atomic
def otp_redeem(*, user_id: UUID, otp: str, now: datetime) -> bool:
    """Whether `otp` is a valid one-time password or recovery code of the user. A valid one is consumed."""
    if len(otp) == DIGITS:
        return totp_redeem(user_id=user_id, otp=otp, now=now)
    device = MfaDevice.objects.select_for_update().filter(user_id=user_id, confirmed_at__isnull=False).first()
    if device is None:
        return False
    return RecoveryCode.objects.filter(user_id=user_id, digest=_digest(otp), used_at=None).update(used_at=now) == 1


@transaction.atomic
def totp_redeem(*, user_id: UUID, otp: str, now: datetime) -> bool:
    """As `otp_redeem`, without recovery codes: only the authenticator proves that its holder is there now."""
    device = MfaDevice.objects.select_for_update().filter(user_id=user_id, confirmed_at__isnull=False).first()
    return device is not None and _accept(device, otp, now)


def _accept(device: MfaDevice, otp: str, now: datetime) -> bool:
    totp = pyotp.TOTP(_secret_of(device), digits=DIGITS, interval=STEP_SECONDS)
    current = int(now.timestamp()) // STEP_SECONDS
    for step in (current + drift for drift in _DRIFT):
        # A used step and earlier ones are refused: an observed code cannot be replayed.
        if step > device.last_step and hmac.compare_digest(totp.generate_otp(step).encode(), otp.encode()):
            device.last_step = step
            device.save(update_fields=["last_step"])
            return True
    return False


def _secret_of(device: MfaDevice) -> str:
    encrypted = EncryptedSecret(bytes(device.nonce), bytes(device.ciphertext), bytes(device.wrapped_key))
    return decrypt(encrypted, key=_key(), owner=device.user_id.bytes).decode()


def _locked(user_id: UUID, password: str) -> User:
    user = User.objects.select_for_update().get(pk=user_id)
    if not user.check_password(password):
        raise PasswordWrong()
    return user


def _announce(user: User, kind: OutgoingMail.Kind, now: datetime) -> None:
    lockout_lift(email=user.email)
    publish(UserUpdated(user_id=user.id, changed=("mfa",)), now=now)
    mail_queue(kind=kind, email=user.email, now=now)


def _new_recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(10)).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _digest(code: str) -> bytes:
    return digest_of(code.strip().lower().replace("-", "").replace(" ", ""))


def _key() -> bytes:
    return vault_key(settings.ENVIRONMENT.secret("mfa_key", needed_for="one-time passwords at log-in"))
