"""Deleting a bot or a key that coins, orders or runs depend on: refused with amounts, and with a way through."""

import threading
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.bots.consumers import READ_MODELS
from apps.bots.models import Bot, BotCommand, BotStatus
from apps.bots.selectors import bots
from apps.bots.services.commands import bot_start
from apps.core.errors import PlatformError
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.store.publish import publish
from apps.events.store.selectors import stream_list
from apps.messages.base import Event
from apps.messages.bots import AbandonPosition, StopDeletedBot
from apps.messages.envelope import Envelope
from apps.vault.models import Credential
from apps.vault.services.keys import credential_disconnect
from tests.factories.bots import BotFactory, TraderClient
from tests.integration.bots.conftest import World
from tests.integration.bots.executions import execution
from tests.integration.bots.leaving.reports import bought, commands, started, stopped, told

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

load_consumers()


def error_of(response: Any) -> tuple[int, str, dict[str, Any]]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["details"]


def _event(envelope: Envelope) -> Event:
    message = envelope.message()
    assert isinstance(message, Event)
    return message


class TestABotThatHoldsCoins:
    def test_is_not_deleted_and_the_answer_has_the_amounts(self, trader: TraderClient, bot: Bot) -> None:
        told(bot, started, bought(), stopped())
        response = trader.delete(f"/api/v1/bot/{bot.id}")
        assert error_of(response) == (
            409,
            "bot_holds_position",
            {
                "pair": "XBTUSD",
                "base_asset": "XBT",
                "volume": "0.25",
                "position_cost": "2500.26",
                "quote_asset": "USD",
            },
        )
        assert "?abandon=true" in response.json()["error"]["message"]
        assert Bot.objects.get().deleted_at is None
        assert commands(bot) == []

    def test_is_deleted_where_its_owner_gives_the_coins_up(self, trader: TraderClient, bot: Bot) -> None:
        told(bot, started, bought(), stopped())
        assert trader.delete(f"/api/v1/bot/{bot.id}?abandon=true").status_code == 204
        [command] = commands(bot)
        assert isinstance(command, StopDeletedBot)
        assert BotCommand.objects.get().arguments == {"abandon": True}
        assert Bot.objects.get().deleted_at is not None

    def test_running_is_not_deleted_even_then(self, trader: TraderClient, bot: Bot) -> None:
        told(bot, started, bought())
        assert error_of(trader.delete(f"/api/v1/bot/{bot.id}?abandon=true"))[:2] == (409, "bot_in_use")
        assert Bot.objects.get().deleted_at is None

    def test_that_are_too_few_to_sell_is_deleted(
        self, trader: TraderClient, bot: Bot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bots, "is_dust", lambda volume, **_: volume < Decimal("0.00005"))
        told(bot, started, bought("0.00000001"), stopped())
        assert trader.delete(f"/api/v1/bot/{bot.id}").status_code == 204

    def test_is_not_deleted_while_its_latest_reports_are_on_their_way(self, trader: TraderClient, bot: Bot) -> None:
        story = told(bot, started, stopped())
        publish(_event(story.traded("buy")), now=timezone.now())
        assert error_of(trader.delete(f"/api/v1/bot/{bot.id}"))[:2] == (409, "bot_reports_pending")
        [envelope] = stream_list(aggregate_type="bot", aggregate_id=bot.id)
        deliver(envelope, group=READ_MODELS)
        assert error_of(trader.delete(f"/api/v1/bot/{bot.id}"))[:2] == (409, "bot_holds_position")

    def test_has_nothing_left_once_they_are_given_up(self, bot: Bot) -> None:
        told(bot, started, bought(), stopped(), lambda story: story.abandoned(volume="0.25"))
        status = BotStatus.objects.get()
        assert (status.position_volume, status.position_cost, status.realised_pnl) == (0, 0, 0)
        assert status.released_cost == Decimal("2500.26")


class TestAKeyInUse:
    def refused(self, trader: TraderClient, key: Credential, query: str = "") -> dict[str, Any]:
        status, code, details = error_of(trader.delete(f"/api/v1/kraken/keys/{key.id}{query}"))
        assert (status, code) == (409, "key_in_use")
        key.refresh_from_db()
        assert key.state == "active"
        assert key.ciphertext is not None
        [facts] = details["bots"]
        return facts  # type: ignore[no-any-return]

    def test_of_a_running_bot_is_not_deleted(self, trader: TraderClient, key: Credential, bot: Bot) -> None:
        told(bot, started, bought("0.5"))
        facts = {"bot_id": str(bot.id), "name": "Keeper", "state": "running", "open_orders": [], "pair": "XBTUSD"}
        for query in ("", "?abandon=true"):
            assert self.refused(trader, key, query) == {**facts, "base_asset": "XBT", "volume": "0.5"}
        assert commands(bot) == []

    def test_of_a_bot_that_is_being_started_is_not_deleted(
        self, world: World, trader: TraderClient, key: Credential, bot: Bot
    ) -> None:
        world.keys[trader.user_id, key.id] = world.keys[trader.user_id, world.add_key(trader.user_id)]
        bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())
        assert self.refused(trader, key)["state"] == "starting"

    def test_with_an_order_in_its_account_is_not_deleted(self, trader: TraderClient, key: Credential, bot: Bot) -> None:
        order_id = uuid4()
        told(bot, started, stopped(), lambda story: story.order("unknown", order_id=order_id))
        for query in ("", "?abandon=true"):
            assert self.refused(trader, key, query)["open_orders"] == [f"mk{order_id.hex[-16:]}"]

    def test_whose_bot_holds_coins_is_deleted_where_its_owner_gives_them_up(
        self, trader: TraderClient, key: Credential, bot: Bot
    ) -> None:
        told(bot, started, bought(), stopped())
        assert self.refused(trader, key)["volume"] == "0.25"
        assert trader.delete(f"/api/v1/kraken/keys/{key.id}?abandon=true").status_code == 204
        [command] = commands(bot)
        assert isinstance(command, AbandonPosition)
        assert command.reason == "key_disconnected"
        key.refresh_from_db()
        assert key.state == "disconnected"
        assert Bot.objects.get().deleted_at is None

    def test_whose_bots_reports_are_on_their_way_is_not_deleted(
        self, trader: TraderClient, key: Credential, bot: Bot
    ) -> None:
        story = told(bot, started, stopped())
        publish(_event(story.traded("buy")), now=timezone.now())
        assert error_of(trader.delete(f"/api/v1/kraken/keys/{key.id}"))[:2] == (409, "key_reports_pending")

    def test_of_bots_that_hold_nothing_is_deleted(self, trader: TraderClient, key: Credential, bot: Bot) -> None:
        told(bot, started, stopped())
        assert trader.delete(f"/api/v1/kraken/keys/{key.id}").status_code == 204
        assert commands(bot) == []

    def test_of_another_users_bot_does_not_bar_ones_own(self, trader: TraderClient, key: Credential) -> None:
        other = BotFactory.create()
        told(other, started, bought())
        assert trader.delete(f"/api/v1/kraken/keys/{key.id}").status_code == 204


@pytest.mark.django_db(transaction=True)
def test_a_key_that_is_deleted_while_its_bot_is_started_is_not_gone_under_it(
    world: World, trader: TraderClient, key: Credential, bot: Bot
) -> None:
    world.keys[trader.user_id, key.id] = world.keys[trader.user_id, world.add_key(trader.user_id)]
    has_started, refusal = threading.Event(), []

    def disconnect() -> None:
        has_started.wait(10)
        try:
            credential_disconnect(credential_id=key.id, user_id=key.user_id, reason="test", now=timezone.now())
        except PlatformError as error:
            refusal.append(error.code)
        finally:
            connection.close()

    other = threading.Thread(target=disconnect)
    other.start()
    with transaction.atomic():
        bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())
        has_started.set()
        other.join(0.5)
        assert other.is_alive()
    other.join(10)
    assert refusal == ["key_in_use"]
    key.refresh_from_db()
    assert key.state == "active"


def test_a_bot_whose_start_came_to_nothing_does_not_bar_its_key(
    world: World, trader: TraderClient, key: Credential, bot: Bot
) -> None:
    world.keys[trader.user_id, key.id] = world.keys[trader.user_id, world.add_key(trader.user_id)]
    execution(bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now()).id, "failed")
    assert trader.delete(f"/api/v1/kraken/keys/{key.id}").status_code == 204
