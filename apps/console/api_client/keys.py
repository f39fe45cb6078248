"""Exchange keys: what each is and may do."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.console.api_client.base import Answer, Api, Page

# A key is tested against its exchange.
_EXCHANGE_SECONDS = 35.0


class ExchangeKey(Answer):
    id: UUID
    label: str
    mode: str
    state: str
    key_hint: str
    permissions: list[str]
    ip_allowlist: list[str]
    nonce_window: int | None = None
    expires_at: datetime | None
    warnings: list[str]
    created_at: datetime
    tested_at: datetime | None
    last_error: str | None = None


class ExchangeKeyPage(Page):
    results: list[ExchangeKey]


class Balance(Answer):
    asset: str
    total: Decimal
    held: Decimal
    free: Decimal


class Balances(Answer):
    as_of: datetime
    mode: str
    balances: list[Balance]


def listed(api: Api, cursor: str | None = None) -> ExchangeKeyPage:
    return ExchangeKeyPage.model_validate(api.get("kraken/keys", {"cursor": cursor}))


def one(api: Api, key_id: UUID) -> ExchangeKey:
    return ExchangeKey.model_validate(api.get(f"kraken/keys/{key_id}"))


def connect(api: Api, *, label: str, mode: str, api_key: str, api_secret: str, key: str) -> ExchangeKey:
    """Raises ApiRefused: `live_gate_unmet`, and whatever the exchange says against the key."""
    body = {"label": label, "mode": mode}
    if mode == "live":
        body |= {"api_key": api_key, "api_secret": api_secret}
    answer = api.call("POST", "kraken/connect", body=body, key=key, read_seconds=_EXCHANGE_SECONDS)
    return ExchangeKey.model_validate(answer)


def rename(api: Api, key_id: UUID, *, label: str, key: str) -> None:
    api.patch(f"kraken/keys/{key_id}", {"label": label}, key=key)


def test(api: Api, key_id: UUID, *, key: str) -> ExchangeKey:
    answer = api.call("POST", f"kraken/keys/{key_id}/test", key=key, read_seconds=_EXCHANGE_SECONDS)
    return ExchangeKey.model_validate(answer)


def rotate(api: Api, key_id: UUID, *, api_key: str, api_secret: str, key: str) -> None:
    body = {"api_key": api_key, "api_secret": api_secret}
    api.call("POST", f"kraken/keys/{key_id}/rotate", body=body, key=key, read_seconds=_EXCHANGE_SECONDS)


def disconnect(api: Api, key_id: UUID, *, abandon: bool, key: str) -> None:
    params = {"abandon": "true"} if abandon else None
    api.call("DELETE", f"kraken/keys/{key_id}", params=params, key=key, read_seconds=_EXCHANGE_SECONDS)


def balances(api: Api, key_id: UUID) -> Balances:
    answer = api.call("GET", f"kraken/keys/{key_id}/balances", read_seconds=_EXCHANGE_SECONDS)
    return Balances.model_validate(answer)
