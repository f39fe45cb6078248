"""Stored keys, people who own them, and a client that speaks as one of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from rest_framework.test import APIClient

from apps.core.identity.principal import Principal
from apps.core.ids import new_id
from apps.core.terms import Mode
from apps.vault.encryption import Login
from apps.vault.models import Credential
from apps.vault.services.key_info import login_write
from tests.factories.fake_account import ALL_PERMISSIONS
from tests.factories.live import assured_claims

API_SECRET = "dGhlIHNlY3JldCBoYWxmIG9mIGEga2V5IHRoYXQgbm9ib2R5IG1heSBzZWU="
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def api_key() -> str:
    """A unique public half of a key."""
    return f"KEY{uuid4().hex}{uuid4().hex}"[:56]


def stored_credential(
    *,
    user_id: UUID | None = None,
    mode: Mode = Mode.PAPER,
    label: str = "Main",
    login: Login | None = None,
    permissions: Sequence[str] = tuple(sorted(ALL_PERMISSIONS)),
    **fields: Any,
) -> Credential:
    """A connected key."""
    credential = Credential(
        id=new_id(),
        user_id=user_id or uuid4(),
        mode=mode,
        label=label,
        state=fields.pop("state", Credential.State.ACTIVE),
        permissions=list(permissions),
        created_at=NOW,
        tested_at=NOW,
        **fields,
    )
    login_write(credential, login or Login(mode, api_key(), API_SECRET))
    credential.save(force_insert=True)
    return credential


def client_of(user_id: UUID, *roles: str) -> APIClient:
    """A client with the user's token; a trader's by default, who meets the gates before live trading."""
    client = APIClient(raise_request_exception=False)
    claims = {"user_id": str(user_id), "roles": list(roles or ("trader",)), **assured_claims()}
    client.force_authenticate(Principal(claims))  # type: ignore[arg-type]
    return client
