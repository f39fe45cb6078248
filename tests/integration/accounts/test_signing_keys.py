"""Rotation of the signing key: nobody is logged out, and what is unknown is refused."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import IntegrityError, ProgrammingError, connection, connections, transaction
from django.utils import timezone

from apps.accounts import signing_keys
from apps.accounts.models import SigningKey
from apps.accounts.services.signing_keys import PUBLISHED_FOR, signing_key_end, signing_key_rotate
from apps.core.identity import verification_keys
from apps.core.identity.jwk import key_id, public_key_of
from apps.core.models import VerificationKey
from service_common.environment import environment
from tests.factories.accounts import UserServiceClient, make_user
from tests.support.database_roles import as_role

pytestmark = pytest.mark.django_db

ME = "/api/v1/user/me"
BEGUN = timezone.now()


@pytest.fixture(autouse=True)
def _read_anew(settings: Any) -> Iterator[None]:
    """Each look at the keys reads the database, as if the caches had aged; keys of a test are gone with it."""
    env = environment("user")
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"signing_vault_key": env.signing_vault_key})
    _age()
    yield
    _age()


def _age() -> None:
    verification_keys.forget()
    signing_keys.forget()


def _rotate(now: datetime, **options: Any) -> None:
    signing_key_rotate(now=now, **options)
    _age()


def _environment_kid() -> str:
    return key_id(public_key_of(django_settings.SIMPLE_JWT["SIGNING_KEY"]))


def _kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def _states() -> dict[str, str]:
    return dict(VerificationKey.objects.values_list("kid", "state"))


def test_the_first_call_publishes_a_key_and_signs_nothing_with_it() -> None:
    client = UserServiceClient(make_user())

    _rotate(BEGUN)

    (upcoming,) = VerificationKey.objects.filter(state="upcoming")
    assert _states() == {_environment_kid(): "signing", upcoming.kid: "upcoming"}
    shown = {key["kid"] for key in client.get("/.well-known/jwks.json").json()["keys"]}
    assert shown == {_environment_kid(), upcoming.kid}
    assert _kid(UserServiceClient(make_user()).tokens.access) == _environment_kid()  # type: ignore[union-attr]


def test_the_new_key_signs_and_tokens_of_the_old_one_still_work() -> None:
    client = UserServiceClient(make_user())
    assert client.tokens is not None
    before = client.tokens

    _rotate(BEGUN)
    _rotate(BEGUN + PUBLISHED_FOR)

    assert client.get(ME).status_code == 200
    answer = client.post("/api/v1/auth/refresh", {"refresh": before.refresh})
    assert answer.status_code == 200
    assert _kid(answer.json()["access"]) != _kid(before.access) == _environment_kid()
    client.bear(answer.json()["access"])
    assert client.get(ME).status_code == 200


def test_calls_that_come_early_change_nothing() -> None:
    _rotate(BEGUN)
    after = _states()

    for seconds in (0, 1, PUBLISHED_FOR.total_seconds() - 1):
        _rotate(BEGUN + timedelta(seconds=seconds))

    assert _states() == after


def test_a_finished_rotation_is_not_begun_again_by_a_repeated_call() -> None:
    _rotate(BEGUN)
    _rotate(BEGUN + PUBLISHED_FOR)
    after = _states()

    _rotate(BEGUN + PUBLISHED_FOR + timedelta(days=13))

    assert _states() == after
    _rotate(BEGUN + PUBLISHED_FOR + timedelta(days=13), again=True)
    assert sorted(_states().values()) == ["retiring", "signing", "upcoming"]


def test_the_old_key_ends_when_its_last_token_has_expired() -> None:
    _rotate(BEGUN)
    _rotate(BEGUN + PUBLISHED_FOR)
    old = VerificationKey.objects.get(state="retiring")

    assert old.ends_at is not None
    last_token_expires = BEGUN + PUBLISHED_FOR + django_settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"]
    assert last_token_expires < old.ends_at < last_token_expires + timedelta(minutes=5)
    assert old.kid in verification_keys.verifying_keys(now=old.ends_at - timedelta(seconds=1))
    assert old.kid not in verification_keys.verifying_keys(now=old.ends_at)


def test_the_key_of_the_environment_does_not_come_back_after_its_end() -> None:
    client = UserServiceClient(make_user())
    _rotate(BEGUN)
    _rotate(BEGUN + PUBLISHED_FOR)
    VerificationKey.objects.filter(kid=_environment_kid()).update(ends_at=timezone.now() - timedelta(seconds=1))
    _age()

    assert client.get(ME).status_code == 401


def test_private_keys_are_encrypted_and_go_when_another_key_signs() -> None:
    _rotate(BEGUN)
    first = SigningKey.objects.get()
    assert b"PRIVATE" not in bytes(first.ciphertext)
    _rotate(BEGUN + PUBLISHED_FOR)
    assert isinstance(load_pem_private_key(signing_keys.signing_pem().encode(), password=None), object)

    _rotate(BEGUN + timedelta(days=60))
    _rotate(BEGUN + timedelta(days=60) + PUBLISHED_FOR)

    assert not SigningKey.objects.filter(kid=first.kid).exists()
    assert SigningKey.objects.count() == 1


def test_a_compromised_key_ends_at_once_and_another_signs() -> None:
    client = UserServiceClient(make_user())
    assert client.tokens is not None

    signing_key_end(kid=_environment_kid(), now=timezone.now())
    _age()

    assert client.get(ME).status_code == 401
    assert client.post("/api/v1/auth/refresh", {"refresh": client.tokens.refresh}).status_code == 401
    assert UserServiceClient(make_user()).get(ME).status_code == 200
    with pytest.raises(CommandError, match="has ended already"):
        call_command("rotate_signing_key", compromised=_environment_kid())
    with pytest.raises(CommandError, match="No key has the id"):
        call_command("rotate_signing_key", compromised="nobody")


def test_the_command_says_what_it_did_and_what_is_there() -> None:
    out = StringIO()

    call_command("rotate_signing_key", stdout=out)
    call_command("rotate_signing_key", stdout=out)
    call_command("rotate_signing_key", status=True, stdout=out)

    text = out.getvalue()
    assert text.count("is published") == 2
    assert "Next step: " in text
    assert f"{_environment_kid()}  signing" in text
    assert "PRIVATE" not in text


@pytest.mark.django_db(transaction=True)
def test_two_processes_at_once_make_one_key() -> None:
    def rotate(_: int) -> None:
        try:
            signing_key_rotate(now=BEGUN)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(rotate, range(4)))

    assert sorted(_states().values()) == ["signing", "upcoming"]


def test_the_database_refuses_a_second_signing_key() -> None:
    _rotate(BEGUN)

    with pytest.raises(IntegrityError), transaction.atomic():
        VerificationKey.objects.filter(state="upcoming").update(state="signing")


@pytest.mark.parametrize("role", ["kraken_service", "bot_service", "paper_exchange", "staff_site"])
def test_other_services_read_the_public_keys_and_cannot_add_one(role: str) -> None:
    with as_role(role), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM events.verification_key")
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            cursor.execute("UPDATE events.verification_key SET public_pem = ''")


@pytest.mark.parametrize("role", ["kraken_service", "bot_service", "paper_exchange"])
def test_other_services_cannot_read_the_private_keys(role: str) -> None:
    with (
        as_role(role),
        connection.cursor() as cursor,
        pytest.raises(ProgrammingError, match="permission denied"),
        transaction.atomic(),
    ):
        cursor.execute("SELECT * FROM users.signing_key")


ODD_CLAIMS: list[dict[str, Any]] = [
    {"sid": None},
    {"sid": ""},
    {"sid": "not a uuid"},
    {"sid": 7},
    {"sid": ["x"]},
    {"user_id": "not a uuid"},
    {"user_id": 7},
    {"user_id": None},
    {"roles": "admin"},
    {"roles": [{"admin": True}]},
    {"roles": None},
    {"exp": "tomorrow"},
    {"exp": 10**18},
    {"exp": None},
    {"exp": -1},
    {"iat": "yesterday"},
    {"iat": 10**18},
    {"nbf": 10**12},
    {"stepped_up_at": 10**20},
    {"stepped_up_at": "now"},
    {"token_type": "refresh"},
    {"token_type": 7},
    {"jti": None},
    {"aud": "another"},
    {"aud": 7},
    {"iss": "another"},
    {"iss": ["muckard"]},
]


@pytest.mark.parametrize("service", ["user", "kraken"])
@pytest.mark.parametrize("changes", ODD_CLAIMS, ids=str)
def test_a_token_of_our_own_key_with_an_odd_claim_is_401(settings: Any, service: str, changes: dict[str, Any]) -> None:
    client = UserServiceClient(make_user())
    assert client.tokens is not None
    claims = jwt.decode(client.tokens.access, options={"verify_signature": False})
    for name, value in changes.items():
        claims.pop(name) if value is None else claims.update({name: value})
    key = settings.SIMPLE_JWT["SIGNING_KEY"]
    token = jwt.api_jws.encode(json.dumps(claims).encode(), key, algorithm="ES256", headers={"kid": _environment_kid()})
    client.bear(token)
    settings.ROOT_URLCONF = f"{service}_service.urls"

    answer = client.get(ME if service == "user" else "/api/v1/bot")

    expected = 200 if changes == {"roles": None} and service == "user" else 403 if changes == {"roles": None} else 401
    assert answer.status_code == expected, answer.json()


@pytest.mark.parametrize("service", ["user", "kraken"])
def test_an_unknown_or_missing_key_id_is_401_whoever_signed(settings: Any, service: str) -> None:
    client = UserServiceClient(make_user())
    assert client.tokens is not None
    claims = jwt.decode(client.tokens.access, options={"verify_signature": False})
    settings.ROOT_URLCONF = f"{service}_service.urls"
    ours = settings.SIMPLE_JWT["SIGNING_KEY"]
    stranger = generate_private_key(SECP256R1())

    for key, headers in (
        (ours, {}),
        (ours, {"kid": "unknown"}),
        (ours, {"kid": str(uuid4())}),
        (stranger, {"kid": _environment_kid()}),
        (stranger, {"kid": key_id(stranger.public_key())}),
        (ours, {"kid": "../../etc/passwd"}),
        (ours, {"kid": "' OR 1=1 --"}),
        (ours, {"kid": "x" * 4000}),
    ):
        client.bear(jwt.encode(claims, key, algorithm="ES256", headers=headers))
        answer = client.get(ME if service == "user" else "/api/v1/bot")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")
