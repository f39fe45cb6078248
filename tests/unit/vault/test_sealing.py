"""A sealed login opens for its own user, credential and mode, and for nobody else."""

from dataclasses import replace
from uuid import uuid4

import pytest

from apps.core.crypto import CannotDecrypt
from apps.core.terms import Mode
from apps.vault.encryption import Login, login_seal, login_unseal

USER, CREDENTIAL = uuid4(), uuid4()
LOGIN = Login(Mode.LIVE, "public half", "secret half")


def test_what_was_sealed_opens_again() -> None:
    sealed = login_seal(LOGIN, user_id=USER, credential_id=CREDENTIAL)

    assert login_unseal(sealed, user_id=USER, credential_id=CREDENTIAL, mode=Mode.LIVE) == LOGIN


def test_nothing_of_it_can_be_read_while_it_is_sealed() -> None:
    sealed = login_seal(LOGIN, user_id=USER, credential_id=CREDENTIAL)

    stored = sealed.sealed.ciphertext + sealed.sealed.nonce + sealed.sealed.wrapped_key + sealed.key_id.encode()
    assert b"half" not in stored
    for text in (repr(LOGIN), repr(sealed), repr(sealed.sealed)):
        assert "half" not in text


@pytest.mark.parametrize("other", ["user", "credential", "mode"])
def test_it_opens_for_nobody_else(other: str) -> None:
    sealed = login_seal(LOGIN, user_id=USER, credential_id=CREDENTIAL)

    with pytest.raises(CannotDecrypt):
        login_unseal(
            sealed,
            user_id=uuid4() if other == "user" else USER,
            credential_id=uuid4() if other == "credential" else CREDENTIAL,
            mode=Mode.PAPER if other == "mode" else Mode.LIVE,
        )


def test_the_vault_key_that_sealed_it_is_named() -> None:
    sealed = login_seal(LOGIN, user_id=USER, credential_id=CREDENTIAL)

    with pytest.raises(CannotDecrypt, match="the vault key 0123456789abcdef"):
        login_unseal(replace(sealed, key_id="0123456789abcdef"), user_id=USER, credential_id=CREDENTIAL, mode=Mode.LIVE)
