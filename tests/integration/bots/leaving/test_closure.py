"""Closing an account in the kraken service: step by step, each repeatable, until nothing remains."""

from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts import kraken_service
from apps.bots.models import Alert, Bot, BotCommand, BotTrade
from apps.bots.services.closure import closure_holdings, closure_step
from apps.core.errors import DependencyUnavailable
from apps.core.identity import service_token
from apps.core.models import IdempotencyRecord
from apps.events.consumers.registry import load_consumers
from apps.messages.user import UserClosed
from apps.risk.consumers import user_closed
from apps.risk.models.halts import Halt
from apps.vault.models import Credential
from tests.factories.bots import BotFactory, TraderClient
from tests.factories.service_tokens import call_as
from tests.factories.vault import stored_credential
from tests.integration.bots.leaving.reports import bought, commands, started, stopped, told

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

load_consumers()


def step(trader: TraderClient) -> list[dict[str, Any]]:
    return closure_step(user_id=trader.user_id, now=timezone.now())


def test_a_running_bot_is_halted_and_stopped_first_and_deleted_once_it_has_stopped(
    trader: TraderClient, bot: Bot, key: Credential
) -> None:
    story = told(bot, started, bought())

    (waiting,) = step(trader)

    assert (waiting["bot_id"], waiting["waits_for"], waiting["volume"]) == (str(bot.id), "stopping", "0.25")
    halt = Halt.objects.get()
    assert (halt.scope, halt.subject_id, halt.level, halt.code) == ("user", trader.user_id, "halted", "user_closed")
    key.refresh_from_db()
    assert key.state == "active"  # its open orders are cancelled with it
    (command,) = commands(bot)
    assert command.manner == "stop"
    (again,) = step(trader)
    assert again["waits_for"] is not None
    assert BotCommand.objects.count() == Halt.objects.count() == 1
    assert story.bot_id == bot.id


def test_a_stopped_bot_goes_with_its_coins_left_in_the_account_and_its_key_destroyed(
    trader: TraderClient, bot: Bot, key: Credential
) -> None:
    told(bot, started, bought(), stopped())
    IdempotencyRecord.objects.create(
        scope=str(trader.user_id), key="k", fingerprint=b"f", body={"name": "Keeper"}, created_at=timezone.now()
    )
    Alert.objects.create(
        id=uuid4(),
        user_id=trader.user_id,
        kind="k",
        severity="warning",
        code="c",
        message="Keeper",
        occurred_at=timezone.now(),
    )
    trades = BotTrade.objects.count()

    assert step(trader) == []

    bot.refresh_from_db()
    key.refresh_from_db()
    assert (bot.deleted_at is not None, bot.name) == (True, "closed")
    assert (key.state, key.ciphertext, key.label, key.key_hint) == ("disconnected", None, "closed", "")
    assert Alert.objects.count() == IdempotencyRecord.objects.count() == 0
    assert BotTrade.objects.count() == trades  # kept, under the user's id
    assert step(trader) == []


def test_another_users_bots_and_keys_stay(trader: TraderClient, bot: Bot) -> None:
    other = stored_credential(user_id=uuid4())
    others = BotFactory.create(user_id=other.user_id, credential_id=other.id, name="Other")

    assert step(trader) == []

    others.refresh_from_db()
    other.refresh_from_db()
    assert (others.deleted_at, others.name, other.state) == (None, "Other", "active")


def test_what_bars_a_closure_is_told_with_amounts(trader: TraderClient, bot: Bot) -> None:
    assert closure_holdings(user_id=trader.user_id, now=timezone.now()) == []
    told(bot, started, bought(), stopped())

    (holding,) = closure_holdings(user_id=trader.user_id, now=timezone.now())

    assert (holding["bot_id"], holding["base_asset"], holding["volume"]) == (str(bot.id), "XBT", "0.25")
    assert not Halt.objects.exists()


def test_the_event_alone_halts_the_user(trader: TraderClient) -> None:
    message = UserClosed(user_id=trader.user_id, abandons=False, closed_at=timezone.now())

    for _ in range(2):
        user_closed(message, None)  # type: ignore[arg-type]

    assert Halt.objects.get().subject_id == trader.user_id


def test_only_the_user_service_may_ask(trader: TraderClient) -> None:
    url = f"/internal/closures/{trader.user_id}"
    assert APIClient().get(url).status_code == 401
    assert APIClient().post(url, HTTP_AUTHORIZATION="Bearer x.y.z").status_code == 401
    assert not Halt.objects.exists()


@pytest.mark.parametrize(("service", "status"), [("user", 200), ("bot", 403)])
def test_a_service_token_says_who_asks(settings: Any, trader: TraderClient, service: str, status: int) -> None:
    call_as(settings, service)
    headers = {"Authorization": f"Bearer {service_token.mint(audience='kraken')}"}

    assert APIClient().get(f"/internal/closures/{trader.user_id}", headers=headers).status_code == status
    other = {"Authorization": f"Bearer {service_token.mint(audience='paper')}"}
    assert APIClient().get(f"/internal/closures/{trader.user_id}", headers=other).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_the_user_service_asks_over_http(settings: Any, live_server: Any, trader: TraderClient, bot: Bot) -> None:
    call_as(settings, "user")
    url = urlsplit(live_server.url)
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(
        update={"kraken_host": url.hostname, "kraken_port": url.port}
    )
    told(bot, started, bought(), stopped())

    (holding,) = kraken_service.closure_holdings(user_id=trader.user_id)
    assert holding["bot_id"] == str(bot.id)
    assert kraken_service.closure_step(user_id=trader.user_id) == []
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"kraken_port": 1})
    with pytest.raises(DependencyUnavailable):
        kraken_service.closure_holdings(user_id=trader.user_id)


def test_of_a_disconnected_key_nothing_but_what_is_personal_can_be_erased(
    trader: TraderClient, bot: Bot, key: Credential
) -> None:
    assert step(trader) == []
    for change in ({"label": "x"}, {"key_digest": "x"}, {"label": "closed", "state": "active"}):
        with pytest.raises(DatabaseError), transaction.atomic():
            Credential.objects.filter(pk=key.pk).update(**change)
