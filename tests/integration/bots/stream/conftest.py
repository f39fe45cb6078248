"""The stream process's application behind uvicorn, and clients of it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import override_settings
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.tokens import Holder, mint_access
from apps.bots.models import Alert
from apps.bots.stream import asgi
from apps.core.identity import revocations
from apps.core.ids import new_id
from tests.factories.accounts import sign_tokens
from tests.support.event_stream import Client, serving

Open = Callable[..., Client]


@pytest.fixture(autouse=True)
def _quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at every quarter of a minute is looked at every tenth of a second."""
    monkeypatch.setattr(asgi, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(asgi, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(revocations, "READ_EVERY", timedelta(seconds=0.1))


@pytest.fixture
def application(transactional_db: None) -> Iterator[asgi.Application]:
    with override_settings(ROOT_URLCONF="kraken_service.urls"):
        yield asgi.Application(threads=2)


@pytest.fixture
def port(application: asgi.Application) -> Iterator[int]:
    with serving(application) as port:
        yield port


@pytest.fixture
def open_stream(port: int, settings: Settings) -> Iterator[Open]:
    """Opens a stream as a user, who is known by the id or by a token, and waits for `ready` or `reset`."""
    sign_tokens(settings)
    opened: list[Client] = []

    def open_one(
        user_id: UUID | None = None,
        *,
        token: str = "",
        session_id: UUID | None = None,
        says: str = "ready",
        **more: Any,
    ) -> Client:
        client = Client(port, token or token_of(user_id or uuid4(), session_id=session_id), **more)
        opened.append(client)
        if client.response.status == 200:
            # It is up to date once it says so.
            client.wait_for(says)
        return client

    yield open_one
    for client in opened:
        client.close()


def token_of(user_id: UUID, *, session_id: UUID | None = None, signed_ago: timedelta = timedelta()) -> str:
    holder = Holder(user_id, session_id or uuid4(), ["trader"], True, False)
    return str(mint_access(holder=holder, now=timezone.now() - signed_ago).token)


def alert(user_id: UUID, *, text: str = "Something happened.") -> Alert:
    return Alert.objects.create(
        id=new_id(), user_id=user_id, kind="bot.error", severity="warning", code="text", message=text,
        occurred_at=timezone.now(),
    )  # fmt: skip
