"""Accounts of the paper exchange: each is opened with test deposits and one API key."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apps.core import crypto
from apps.paper.engine.fees import DEFAULT_SCHEDULE, fee_schedule
from apps.paper.errors import UnknownAsset
from apps.paper.instruments import asset_named
from apps.paper.models import Account, ApiKey
from apps.paper.services.account_ledger import AccountLedger

# Everything a bot needs; no right to withdraw exists here.
PERMISSIONS = (
    "query-funds",
    "query-open-trades",
    "query-closed-trades",
    "query-ledger",
    "modify-trades",
    "close-trades",
)


@dataclass(frozen=True, repr=False)
class OpenedAccount:
    """An account with its API key. `api_secret` is base64, as Kraken's secrets are."""

    account: Account
    api_key: ApiKey
    api_secret: str


def account_open(
    *,
    owner_id: UUID,
    label: str,
    deposits: Mapping[str, Decimal],
    now: datetime,
    schedule: str = DEFAULT_SCHEDULE,
    permissions: tuple[str, ...] = PERMISSIONS,
) -> OpenedAccount:
    """Opens the owner's account of that label with the deposits (amounts by asset code) and an API key.

    Idempotent by owner and label: a second call changes nothing and returns the same account and key. Raises
    UnknownAsset, UnknownFeeSchedule.
    """
    amounts = {_asset_code(name): amount for name, amount in deposits.items()}
    fee_schedule(schedule)
    with transaction.atomic():
        account, is_new = Account.objects.get_or_create(
            owner_id=owner_id, label=label, defaults={"fee_schedule": schedule, "created_at": now}
        )
        if is_new:
            ledger = AccountLedger({account.id})
            for code, amount in amounts.items():
                ledger.deposit(account.id, code, amount, at=now)
            ledger.save()
            _key_create(account, permissions, now)
    api_key = ApiKey.objects.select_related("account").get(account=account)
    return OpenedAccount(api_key.account, api_key, key_secret(api_key))


def key_secret(api_key: ApiKey) -> str:
    """The key's secret in base64. Raises CannotDecrypt if it was encrypted with another vault key."""
    encrypted = crypto.EncryptedSecret(
        nonce=bytes(api_key.secret_nonce),
        ciphertext=bytes(api_key.secret_ciphertext),
        wrapped_key=bytes(api_key.secret_wrapped_key),
    )
    return crypto.decrypt(encrypted, key=_vault_key(), owner=api_key.key.encode()).decode()


def _key_create(account: Account, permissions: tuple[str, ...], now: datetime) -> None:
    # Kraken's lengths: 56 characters for a key, 64 bytes for a secret.
    key = base64.b64encode(secrets.token_bytes(42)).decode()
    secret = base64.b64encode(secrets.token_bytes(64)).decode()
    encrypted = crypto.encrypt(secret.encode(), key=_vault_key(), owner=key.encode())
    ApiKey.objects.create(
        key=key,
        account=account,
        name=account.label,
        permissions=list(permissions),
        secret_nonce=encrypted.nonce,
        secret_ciphertext=encrypted.ciphertext,
        secret_wrapped_key=encrypted.wrapped_key,
        created_at=now,
    )


def _vault_key() -> bytes:
    return crypto.vault_key(settings.ENVIRONMENT.secret("vault_key", needed_for="encrypting the secrets of API keys"))


def _asset_code(name: str) -> str:
    asset = asset_named(name)
    if asset is None:
        raise UnknownAsset(f"There is no asset {name!r} on this exchange.", asset=name)
    return asset.code
