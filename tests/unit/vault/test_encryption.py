"""An encrypted login can be decrypted for its own user, credential and mode only."""

from dataclasses import replace
from uuid import uuid4

import pytest

from apps.core.crypto import CannotDecrypt
from apps.core.terms import Mode
from apps.vault.encryption import Login, login_decrypt, login_encrypt

USER, CREDENTIAL = uuid4(), uuid4()
LOGIN = Login(Mode.LIVE, "public half", "secret half")


def test_what_was_sealed_opens_again() -> None:
    stored = login_encrypt(LOGIN, user_id=USER, credential_id=CREDENTIAL)

    assert login_decrypt(stored, user_id=USER, credential_id=CREDENTIAL, mode=Mode.LIVE) == LOGIN


def test_nothing_of_it_can_be_read_while_it_is_sealed() -> None:
    stored = login_encrypt(LOGIN, user_id=USER, credential_id=CREDENTIAL)

    columns = (
        stored.encrypted.ciphertext + stored.encrypted.nonce + stored.encrypted.wrapped_key + stored.key_id.encode()
    )
    assert b"half" not in columns
    for text in (repr(LOGIN), repr(stored), repr(stored.encrypted)):
        assert "half" not in text


@pytest.mark.parametrize("other", ["user", "credential", "mode"])
def test_it_opens_for_nobody_else(other: str) -> None:
    stored = login_encrypt(LOGIN, user_id=USER, credential_id=CREDENTIAL)

    with pytest.raises(CannotDecrypt):
        login_decrypt(
            stored,
            user_id=uuid4() if other == "user" else USER,
            credential_id=uuid4() if other == "credential" else CREDENTIAL,
            mode=Mode.PAPER if other == "mode" else Mode.LIVE,
        )


def test_the_vault_key_that_sealed_it_is_named() -> None:
    stored = login_encrypt(LOGIN, user_id=USER, credential_id=CREDENTIAL)

    with pytest.raises(CannotDecrypt, match="the vault key 0123456789abcdef"):
        login_decrypt(
            replace(stored, key_id="0123456789abcdef"), user_id=USER, credential_id=CREDENTIAL, mode=Mode.LIVE
        )
