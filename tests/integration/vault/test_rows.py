"""Guarantees of database and cipher for a stored key."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.db import DatabaseError, IntegrityError, ProgrammingError, connection, transaction
from django.test import Client
from pydantic import SecretStr
from pytest_django import Settings

from apps.core.crypto import CannotDecrypt
from apps.exchange.factory import exchange_for
from apps.exchange.kraken.exchange import KrakenExchange
from apps.vault.models import Credential
from apps.vault.selectors import credential_open
from apps.vault.services.keys import credential_disconnect
from tests.factories.accounts import UserFactory
from tests.factories.vault import API_SECRET, NOW, stored_credential

pytestmark = pytest.mark.django_db


@contextmanager
def logged_in_as(role: str) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {role}")
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")


@pytest.mark.parametrize("change", [{"mode": "live"}, {"user_id": uuid4()}, {"id": uuid4()}])
def test_what_a_key_is_bound_to_never_changes(change: dict[str, Any]) -> None:
    stored_credential()

    with pytest.raises(IntegrityError, match="keeps its user and its mode"), transaction.atomic():
        Credential.objects.update(**change)


def test_a_disconnected_key_never_comes_back() -> None:
    credential = stored_credential()
    credential_disconnect(credential_id=credential.id, user_id=credential.user_id, reason="test", now=NOW)

    with pytest.raises(IntegrityError, match="stays as it is"), transaction.atomic():
        Credential.objects.update(state="active")


@pytest.mark.parametrize(
    "change",
    [{"state": "disconnected"}, {"ciphertext": None}, {"wrapped_key": None}, {"state": "broken"}],
)
def test_a_secret_is_there_while_connected_and_not_after(change: dict[str, Any]) -> None:
    stored_credential()

    with pytest.raises(IntegrityError, match="holds_no_secret"), transaction.atomic():
        Credential.objects.update(**change)


def test_a_key_is_connected_once() -> None:
    first, second = stored_credential(), stored_credential()

    with pytest.raises(IntegrityError, match="key_once"), transaction.atomic():
        Credential.objects.filter(id=second.id).update(key_digest=first.key_digest)


def test_a_secret_copied_to_another_row_does_not_open() -> None:
    first, second = stored_credential(), stored_credential()
    Credential.objects.filter(id=second.id).update(
        ciphertext=first.ciphertext, nonce=first.nonce, wrapped_key=first.wrapped_key
    )

    with pytest.raises(CannotDecrypt):
        credential_open(credential_id=second.id, user_id=second.user_id)


def test_a_paper_secret_does_not_open_as_a_live_one() -> None:
    credential = stored_credential()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE kraken.vault_credential DISABLE TRIGGER vault_credential_is_bound")
        cursor.execute("UPDATE kraken.vault_credential SET mode = 'live'")

    with pytest.raises(CannotDecrypt):
        credential_open(credential_id=credential.id, user_id=credential.user_id)


def test_another_vault_key_is_recognised(settings: Settings) -> None:
    credential = stored_credential()
    settings.ENVIRONMENT = django_settings.ENVIRONMENT.model_copy(
        update={"vault_key": SecretStr("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")}
    )

    with pytest.raises(CannotDecrypt, match="not the one in use"):
        credential_open(credential_id=credential.id, user_id=credential.user_id)


def test_every_sealing_is_another_ciphertext() -> None:
    first, second = stored_credential(), stored_credential()

    assert first.key_id == second.key_id
    assert len({bytes(row.wrapped_key or b"") for row in (first, second)}) == 2


def test_the_bot_service_opens_a_key_and_sees_nothing_else_of_it() -> None:
    credential = stored_credential()

    with logged_in_as("bot_service"):
        opened = credential_open(credential_id=credential.id, user_id=credential.user_id)
    assert opened.api_secret == API_SECRET

    denied = pytest.raises(ProgrammingError, match="permission denied")
    with denied, transaction.atomic(), logged_in_as("bot_service"):
        Credential.objects.values_list("label").get()


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("bot_service", "UPDATE kraken.vault_credential SET state = 'suspended'"),
        ("bot_service", "DELETE FROM kraken.vault_credential"),
        ("user_service", "SELECT id FROM kraken.vault_credential"),
        ("paper_exchange", "SELECT id FROM kraken.vault_credential"),
        ("relay", "SELECT id FROM kraken.vault_credential"),
        ("dispatcher", "SELECT id FROM kraken.vault_credential"),
        ("user_service", "SELECT * FROM kraken.exchange_nonce"),
    ],
)
def test_no_other_role_comes_near(role: str, statement: str) -> None:
    stored_credential()

    denied = pytest.raises(DatabaseError, match="permission denied")
    with denied, transaction.atomic(), logged_in_as(role), connection.cursor() as cursor:
        cursor.execute(statement)


def test_a_stored_paper_key_leads_to_the_paper_exchange_and_a_live_one_to_kraken() -> None:
    for mode, url in (
        ("paper", django_settings.ENVIRONMENT.paper_exchange_url),
        ("live", "https://api.kraken.com"),
    ):
        credential = stored_credential(mode=mode)  # type: ignore[arg-type]
        exchange = exchange_for(credential_open(credential_id=credential.id, user_id=credential.user_id))
        assert isinstance(exchange, KrakenExchange)
        assert (exchange.mode, exchange._transport._client.URL) == (mode, url)


def test_staff_see_a_key_but_nothing_of_its_secret() -> None:
    client = Client()
    credential = stored_credential(label="Their key")
    client.force_login(UserFactory.create(roles=["admin"]))

    page = client.get(f"/admin/vault/credential/{credential.id}/change/").content.decode()

    assert "Their key" in page
    for name in ("ciphertext", "wrapped", "nonce:", "digest"):
        assert name not in page.lower()
    assert client.post(f"/admin/vault/credential/{credential.id}/change/", {"label": "x"}).status_code == 403
    assert client.post(f"/admin/vault/credential/{credential.id}/delete/", {"post": "yes"}).status_code == 403
