"""An encrypted secret can be decrypted for its owner and with its key only."""

import base64
import secrets
from dataclasses import replace

import pytest

from apps.core.crypto import CannotDecrypt, InvalidVaultKey, decrypt, encrypt, vault_key

KEY = secrets.token_bytes(32)


def test_a_sealed_secret_opens_again() -> None:
    assert decrypt(encrypt(b"secret", key=KEY, owner=b"a"), key=KEY, owner=b"a") == b"secret"


def test_a_row_copied_to_another_owner_does_not_open() -> None:
    with pytest.raises(CannotDecrypt):
        decrypt(encrypt(b"secret", key=KEY, owner=b"a"), key=KEY, owner=b"b")


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(CannotDecrypt):
        decrypt(encrypt(b"secret", key=KEY, owner=b"a"), key=secrets.token_bytes(32), owner=b"a")


@pytest.mark.parametrize("part", ["ciphertext", "nonce", "wrapped_key"])
def test_a_changed_bit_is_noticed(part: str) -> None:
    encrypted = encrypt(b"secret", key=KEY, owner=b"a")
    value = bytearray(getattr(encrypted, part))
    value[-1] ^= 1
    with pytest.raises(CannotDecrypt):
        decrypt(replace(encrypted, **{part: bytes(value)}), key=KEY, owner=b"a")


def test_equal_secrets_look_different() -> None:
    assert encrypt(b"secret", key=KEY, owner=b"a").ciphertext != encrypt(b"secret", key=KEY, owner=b"a").ciphertext


@pytest.mark.parametrize("text", ["", "short", "!!!", base64.b64encode(b"x" * 31).decode()])
def test_a_vault_key_of_the_wrong_length_is_explained(text: str) -> None:
    with pytest.raises(InvalidVaultKey, match="openssl rand"):
        vault_key(text)
