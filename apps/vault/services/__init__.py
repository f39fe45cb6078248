"""Writing exchange keys. Whatever asks an exchange must be called outside a transaction."""

from apps.vault.services.connecting import credential_connect
from apps.vault.services.keys import credential_balances, credential_disconnect, credential_rename
from apps.vault.services.testing import credential_rotate, credential_test

__all__ = [
    "credential_balances",
    "credential_connect",
    "credential_disconnect",
    "credential_rename",
    "credential_rotate",
    "credential_test",
]
