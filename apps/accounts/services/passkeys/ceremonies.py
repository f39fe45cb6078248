"""The two ceremonies of WebAuthn: options for the browser, and the check of what it answers. No database here."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
import webauthn
from webauthn.helpers import (
    options_to_json_dict,
    parse_authentication_credential_json,
    parse_authenticator_data,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from apps.accounts.errors import PasskeyRefused
from apps.accounts.models import Passkey, User
from apps.accounts.services.passkeys.challenges import LIFETIME
from apps.accounts.services.passkeys.relying_party import NAME, relying_party

log = structlog.get_logger(__name__)

# The `PublicKeyCredential` of the browser, as its `toJSON()` gives it.
Credential = Mapping[str, Any]
T = TypeVar("T")

_TIMEOUT_MS = int(LIFETIME.total_seconds() * 1000)
_LONGEST_CREDENTIAL_ID = 1023  # bytes (WebAuthn Level 3, 7.1)


@dataclass(frozen=True)
class NewCredential:
    credential_id: bytes
    public_key: bytes
    sign_count: int
    aaguid: str
    is_synced: bool
    transports: list[str]


@dataclass(frozen=True)
class Assertion:
    """A proved use of a passkey. `sign_count` is the authenticator's counter, not yet compared with the last one."""

    sign_count: int
    is_synced: bool


def registration_options(*, user: User, known: Iterable[Passkey], challenge: bytes) -> dict[str, Any]:
    """`PublicKeyCredentialCreationOptionsJSON`: a discoverable credential whose authenticator verifies its user."""
    options = webauthn.generate_registration_options(
        rp_id=relying_party().id,
        rp_name=NAME,
        user_id=user.id.bytes,
        user_name=user.email,
        user_display_name=user.name or user.email,
        challenge=challenge,
        timeout=_TIMEOUT_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[_descriptor(passkey) for passkey in known],
    )
    return options_to_json_dict(options)


def authentication_options(*, allowed: Iterable[Passkey], challenge: bytes) -> dict[str, Any]:
    """`PublicKeyCredentialRequestOptionsJSON`. With none `allowed`, the user chooses among discoverable ones."""
    options = webauthn.generate_authentication_options(
        rp_id=relying_party().id,
        challenge=challenge,
        timeout=_TIMEOUT_MS,
        allow_credentials=[_descriptor(passkey) for passkey in allowed],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


def registration_challenge(credential: Credential) -> bytes:
    """The challenge that a registration claims to answer. Raises PasskeyRefused."""
    return _refusing(
        lambda: (
            parse_client_data_json(
                parse_registration_credential_json(dict(credential)).response.client_data_json
            ).challenge
        )
    )


def assertion_challenge(credential: Credential) -> tuple[bytes, bytes, bytes | None]:
    """What an assertion claims, before any check: challenge, credential id, user handle. Raises PasskeyRefused."""

    def claimed() -> tuple[bytes, bytes, bytes | None]:
        parsed = parse_authentication_credential_json(dict(credential))
        challenge = parse_client_data_json(parsed.response.client_data_json).challenge
        return challenge, parsed.raw_id, parsed.response.user_handle

    return _refusing(claimed)


def registration_verify(credential: Credential, *, challenge: bytes) -> NewCredential:
    """Checks origin, relying party, challenge, presence and verification of the user. Raises PasskeyRefused."""
    party = relying_party()

    def verified() -> NewCredential:
        parsed = parse_registration_credential_json(dict(credential))
        result = webauthn.verify_registration_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
        )
        _refuse_foreign_frame(parsed.response.client_data_json)
        if result.credential_id != parsed.raw_id or len(result.credential_id) > _LONGEST_CREDENTIAL_ID:
            raise ValueError("The credential id is not the attested one, or too long.")
        return NewCredential(
            credential_id=result.credential_id,
            public_key=result.credential_public_key,
            sign_count=result.sign_count,
            aaguid=result.aaguid,
            is_synced=result.credential_backed_up,
            transports=sorted({transport.value for transport in parsed.response.transports or []}),
        )

    return _refusing(verified)


def assertion_verify(credential: Credential, *, challenge: bytes, passkey: Passkey) -> Assertion:
    """As `registration_verify`, with the passkey's public key. Raises PasskeyRefused.

    The counter is read here and compared by the caller: the library compares it before the signature, and a stranger
    who knows the id of a passkey must not be able to report it as copied.
    """
    party = relying_party()

    def verified() -> Assertion:
        parsed = parse_authentication_credential_json(dict(credential))
        result = webauthn.verify_authentication_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=bytes(passkey.public_key),
            credential_current_sign_count=0,
            require_user_verification=True,
        )
        _refuse_foreign_frame(parsed.response.client_data_json)
        signed = parse_authenticator_data(parsed.response.authenticator_data)
        return Assertion(sign_count=signed.sign_count, is_synced=result.credential_backed_up)

    return _refusing(verified)


def _refuse_foreign_frame(client_data: bytes) -> None:
    if parse_client_data_json(client_data).cross_origin:
        raise ValueError("The page was in a frame of another origin.")


def _refusing(check: Callable[[], T]) -> T:
    try:
        return check()
    except Exception as error:
        # The library also lets errors of its parsers through (CBOR, base64, struct), which it does not declare.
        log.info("passkey_refused", error=type(error).__name__, reason=str(error)[:200])
        raise PasskeyRefused() from None


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(id=bytes(passkey.credential_id))
