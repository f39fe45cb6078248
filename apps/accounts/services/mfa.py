"""Two-factor log-in: time-based one-time passwords (TOTP, RFC 6238), and recovery codes for a lost authenticator."""

import base64
import hmac
import io
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import pyotp
import segno
from django.conf import settings
from django.db import transaction

from apps.accounts.errors import MfaAlreadyEnabled, MfaNotSetUp, OtpWrong, PasswordWrong
from apps.accounts.models import MfaDevice, OutgoingMail, Passkey, RecoveryCode, User
from apps.accounts.services.lockout import password_forgive_attempts
from apps.accounts.services.machine_keys import machine_keys_end
from apps.accounts.services.mail import mail_queue
from apps.accounts.services.profile import email_require_verified
from apps.accounts.tokens import digest_of
from apps.core.crypto import EncryptedSecret, decrypt, encrypt, vault_key
from apps.core.models import MachineKey
from apps.events.store.publish import publish
from apps.messages.security import UserMfaDisabled, UserMfaEnabled, UserRecoveryCodeUsed
from apps.messages.user import PasskeyRemoved, UserUpdated

ISSUER = "Muckard"
STEP_SECONDS = 30
DIGITS = 6
RECOVERY_CODES = 10

# Clock drift: one step in either direction is accepted.
_DRIFT = (0, -1, 1)


@dataclass(frozen=True, repr=False)
class MfaSetup:
    """The secret for an authenticator app. `otpauth_uri` is the content of its QR code, `qr_svg` the code's image."""

    secret: str
    otpauth_uri: str
    qr_svg: str


@transaction.atomic
def mfa_set_up(*, user_id: UUID, password: str, now: datetime, session_id: UUID | None = None) -> MfaSetup:
    """Generates a new secret. Log-in requires no one-time password until it is confirmed.

    Raises PasswordWrong, EmailNotVerified, MfaAlreadyEnabled.
    """
    user = _locked(user_id, password)
    email_require_verified(user)
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
    password_forgive_attempts(session_id=session_id)
    uri = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER)
    return MfaSetup(secret=secret, otpauth_uri=uri, qr_svg=_qr_svg(uri))


@transaction.atomic
def mfa_confirm(*, user_id: UUID, otp: str, now: datetime, session_id: UUID | None = None) -> list[str]:
    """Enables two-factor log-in and returns the recovery codes, which cannot be shown again.

    Raises MfaNotSetUp, MfaAlreadyEnabled, EmailNotVerified, OtpWrong.
    """
    device = MfaDevice.objects.select_for_update().select_related("user").filter(user_id=user_id).first()
    if device is None:
        raise MfaNotSetUp()
    if device.confirmed_at is not None:
        raise MfaAlreadyEnabled()
    email_require_verified(device.user)
    if not _accept(device, otp, now):
        raise OtpWrong()
    device.confirmed_at = now
    device.save(update_fields=["confirmed_at"])
    codes = recovery_codes_issue(user_id=user_id)
    password_forgive_attempts(session_id=session_id)
    mfa_announce_enabled(device.user, method="otp", now=now)
    return codes


def recovery_codes_issue(*, user_id: UUID) -> list[str]:
    """New recovery codes, which cannot be shown again. Earlier ones are void. In the caller's transaction."""
    codes = [_new_recovery_code() for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.filter(user_id=user_id).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user_id=user_id, digest=_digest(code)) for code in codes)
    return codes


def second_factors_delete(*, user: User, now: datetime) -> list[UUID]:
    """Deletes authenticator, passkeys and recovery codes, and ends the machine keys that need a second factor.

    In the caller's transaction. Returns the ids of the passkeys.
    """
    passkeys = Passkey.objects.filter(user=user)
    ids = list(passkeys.values_list("id", flat=True))
    passkeys.delete()
    MfaDevice.objects.filter(user=user).delete()
    RecoveryCode.objects.filter(user=user).delete()
    machine_keys_end(user_id=user.id, ending=MachineKey.Ending.MFA_DISABLED, now=now)
    return ids


@transaction.atomic
def mfa_disable(
    *,
    user_id: UUID,
    password: str,
    otp: str,
    now: datetime,
    has_proof: bool = False,
    session_id: UUID | None = None,
) -> None:
    """Disables two-factor log-in: removes the authenticator, every passkey and the recovery codes.

    `has_proof`: a fresh step-up stands for the one-time password. Raises PasswordWrong, MfaNotSetUp, OtpWrong.
    """
    user = _locked(user_id, password)
    if not mfa_is_enabled(user_id=user_id):
        raise MfaNotSetUp()
    if not has_proof and not otp_redeem(user_id=user_id, otp=otp, now=now):
        raise OtpWrong()
    for passkey_id in second_factors_delete(user=user, now=now):
        publish(PasskeyRemoved(user_id=user.id, passkey_id=passkey_id), now=now)
    password_forgive_attempts(session_id=session_id)
    publish(UserMfaDisabled(user_id=user.id), now=now)
    _announce(user, OutgoingMail.Kind.MFA_DISABLED, now)


def mfa_is_enabled(*, user_id: UUID) -> bool:
    """Whether the account has a second factor: an authenticator or a passkey."""
    return has_authenticator(user_id=user_id) or Passkey.objects.filter(user_id=user_id).exists()


def has_authenticator(*, user_id: UUID) -> bool:
    """Whether the account has a confirmed authenticator for one-time passwords."""
    return MfaDevice.objects.filter(user_id=user_id, confirmed_at__isnull=False).exists()


@transaction.atomic
def otp_redeem(*, user_id: UUID, otp: str, now: datetime) -> bool:
    """Whether `otp` is a valid one-time password or recovery code of the user. A valid one is consumed."""
    if len(otp) == DIGITS:
        return totp_redeem(user_id=user_id, otp=otp, now=now)
    if not mfa_is_enabled(user_id=user_id):
        return False
    unused = RecoveryCode.objects.filter(user_id=user_id, used_at=None)
    if unused.filter(digest=_digest(otp)).update(used_at=now) != 1:
        return False
    publish(UserRecoveryCodeUsed(user_id=user_id, left=unused.count()), now=now)
    return True


@transaction.atomic
def totp_redeem(*, user_id: UUID, otp: str, now: datetime) -> bool:
    """As `otp_redeem`, without recovery codes: only the authenticator proves that its holder is there now."""
    device = MfaDevice.objects.select_for_update().filter(user_id=user_id, confirmed_at__isnull=False).first()
    return device is not None and _accept(device, otp, now)


def _qr_svg(text: str) -> str:
    """A QR code (ISO/IEC 18004) as an SVG element without a fixed size: a page sets the width. One unit is one module.

    Black on white by itself: a page in dark colours would make it unreadable.
    """
    image = io.BytesIO()
    colours = {"dark": "#000", "light": "#fff"}
    bare = {"omitsize": True, "xmldecl": False, "svgclass": None, "lineclass": None, "nl": False}
    segno.make(text, error="m", micro=False).save(image, kind="svg", **colours, **bare)
    return image.getvalue().decode()


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


def mfa_announce_enabled(user: User, *, method: Literal["otp", "passkey"], now: datetime) -> None:
    """Tells that two-factor log-in was switched on, by event and mail. In the caller's transaction."""
    publish(UserMfaEnabled(user_id=user.id, method=method), now=now)
    _announce(user, OutgoingMail.Kind.MFA_ENABLED, now)


def _announce(user: User, kind: OutgoingMail.Kind, now: datetime) -> None:
    publish(UserUpdated(user_id=user.id, changed=("mfa",)), now=now)
    mail_queue(kind=kind, email=user.email, now=now)


def _new_recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(10)).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _digest(code: str) -> bytes:
    return digest_of(code.strip().lower().replace("-", "").replace(" ", ""))


def _key() -> bytes:
    return vault_key(settings.ENVIRONMENT.secret("mfa_key", needed_for="one-time passwords at log-in"))
