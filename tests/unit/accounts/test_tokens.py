"""Keys and tokens."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from apps.accounts import signing_keys
from apps.accounts.errors import RefreshRefused
from apps.accounts.tokens import Holder, TokenPair, digest_of, mint, new_token_id, public_jwks, read_refresh
from apps.core.identity import verification_keys
from apps.core.identity.jwk import key_id

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def _never_rotated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of the environment are the only ones; no database is asked."""
    monkeypatch.setattr(verification_keys, "_keys", verification_keys.KeySet(dict))
    monkeypatch.setattr(signing_keys, "_of_database", lambda: "")


@pytest.fixture
def key(settings: Any) -> EllipticCurvePrivateKey:
    made = generate_private_key(SECP256R1())
    settings.SIMPLE_JWT = {
        **settings.SIMPLE_JWT,
        "SIGNING_KEY": made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "VERIFYING_KEY": made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    }
    return made


def _mint(**changes: Any) -> TokenPair:
    about: dict[str, Any] = {
        "user_id": uuid4(),
        "session_id": uuid4(),
        "roles": ["trader"],
        "has_verified_email": False,
        "has_mfa": False,
    }
    holder = Holder(**{name: changes.pop(name, value) for name, value in about.items()})
    facts: dict[str, Any] = {"refresh_id": new_token_id(), "refresh_expires_at": NOW + timedelta(days=14), "now": NOW}
    return mint(holder=holder, **{**facts, **changes})


def test_the_jwk_is_the_verifying_key_and_nothing_more(key: EllipticCurvePrivateKey) -> None:
    (jwk,) = public_jwks()["keys"]

    assert jwt.PyJWK(jwk).key.public_numbers() == key.public_key().public_numbers()
    assert "d" not in jwk


def test_coordinates_with_leading_zeros_keep_their_length(settings: Any) -> None:
    made = next(
        candidate
        for candidate in (generate_private_key(SECP256R1()) for _ in range(20_000))
        if candidate.public_key().public_numbers().x.bit_length() <= 248
    )
    pem = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    settings.SIMPLE_JWT = {**settings.SIMPLE_JWT, "VERIFYING_KEY": pem}

    (jwk,) = public_jwks()["keys"]

    assert (len(jwk["x"]), len(jwk["y"])) == (43, 43)


def test_the_key_id_is_the_rfc_7638_thumbprint(key: EllipticCurvePrivateKey) -> None:
    (jwk,) = public_jwks()["keys"]
    text = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    expected = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()

    assert jwk["kid"] == key_id(key.public_key()) == expected


def test_a_pair_is_signed_with_the_key_that_its_header_names(key: EllipticCurvePrivateKey) -> None:
    user_id, session_id = uuid4(), uuid4()
    pair = _mint(user_id=user_id, session_id=session_id, roles=["trader", "admin"])

    for token, kind in ((pair.access, "access"), (pair.refresh, "refresh")):
        assert jwt.get_unverified_header(token) == {
            "alg": "ES256",
            "typ": "JWT",
            "kid": key_id(key.public_key()),
        }
        claims = jwt.decode(
            token,
            key.public_key(),
            algorithms=["ES256"],
            audience="muckard-api",
            issuer="muckard",
            options={"verify_exp": False},  # NOW is a moment in the past
        )
        assert (claims["token_type"], claims["user_id"], claims["sid"]) == (kind, str(user_id), str(session_id))
        assert claims["iat"] == int(NOW.timestamp())
    assert jwt.decode(pair.access, options={"verify_signature": False})["roles"] == ["admin", "trader"]
    assert "roles" not in jwt.decode(pair.refresh, options={"verify_signature": False})


def test_a_refresh_token_reads_back_as_its_session_and_digest(key: EllipticCurvePrivateKey) -> None:
    session_id, refresh_id = uuid4(), new_token_id()

    claims = read_refresh(_mint(session_id=session_id, refresh_id=refresh_id).refresh)

    assert (claims.session_id, claims.token_digest) == (session_id, digest_of(refresh_id))


def test_an_expired_refresh_token_is_refused(key: EllipticCurvePrivateKey) -> None:
    with pytest.raises(RefreshRefused):
        read_refresh(_mint(refresh_expires_at=NOW - timedelta(minutes=1)).refresh)


@pytest.mark.parametrize("without", ["sid", "jti", "exp", "token_type"])
def test_a_signed_token_that_lacks_a_claim_is_refused(
    settings: Any, key: EllipticCurvePrivateKey, without: str
) -> None:
    claims = jwt.decode(_mint().refresh, options={"verify_signature": False})
    del claims[without]

    with pytest.raises(RefreshRefused):
        read_refresh(jwt.encode(claims, key, algorithm="ES256", headers={"kid": key_id(key.public_key())}))


@pytest.mark.parametrize("headers", [{}, {"kid": "nobody's"}, {"kid": ""}, {"kid": 7}])
def test_a_signed_token_without_a_known_key_id_is_refused(
    key: EllipticCurvePrivateKey, headers: dict[str, Any]
) -> None:
    claims = jwt.decode(_mint().refresh, options={"verify_signature": False})
    token = jwt.api_jws.PyJWS().encode(json.dumps(claims).encode(), key, algorithm="ES256")
    if headers:
        header = base64.urlsafe_b64encode(json.dumps({"alg": "ES256", "typ": "JWT", **headers}).encode()).rstrip(b"=")
        signed = header + b"." + token.split(".")[1].encode()
        signature = jwt.get_algorithm_by_name("ES256").sign(signed, key)
        token = (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()

    with pytest.raises(RefreshRefused):
        read_refresh(token)


def test_a_pair_does_not_print_its_tokens(key: EllipticCurvePrivateKey) -> None:
    pair = _mint()

    assert pair.access not in repr(pair) + str(pair)
