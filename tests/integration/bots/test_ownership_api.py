"""Ownership over HTTP: another user's bot is not found."""

from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from apps.bots.consumers import ALERTS, READ_MODELS
from apps.bots.models import Bot, BotCommand
from apps.core.identity.principal import Role
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from tests.factories.bots import Story, TraderClient
from tests.integration.bots.calls import MUTATIONS

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

load_consumers()


def story_of(bot: Bot) -> Story:
    return Story(bot_id=bot.id, user_id=bot.user_id)


OWNED = [
    ("get", ""),
    *MUTATIONS,
    ("get", "/commands"),
    ("get", "/status"),
    ("get", "/timeline"),
    ("get", "/trades"),
    ("get", "/performance"),
]


class TestOwnership:
    @pytest.mark.parametrize(("method", "path"), OWNED)
    def test_anothers_bot_looks_like_one_that_is_not_there(
        self, trader: TraderClient, bot: Bot, method: str, path: str
    ) -> None:
        stranger = TraderClient()
        deliver(story_of(bot).started(), group=READ_MODELS)

        def answer(bot_id: object) -> Any:
            response = getattr(stranger, method)(f"/api/v1/bot/{bot_id}{path}")
            error = response.json()["error"]
            return response.status_code, error["code"], error["message"]

        assert answer(bot.id) == answer(uuid4())
        assert answer(bot.id)[0] == 404
        assert BotCommand.objects.count() == 0

    @pytest.mark.parametrize("call", ["start", "stop", "trigger_trade"])
    def test_anothers_bot_in_the_body_is_not_found(self, bot: Bot, call: str) -> None:
        assert TraderClient().post(f"/api/v1/bot/{call}", {"bot_id": str(bot.id)}).status_code == 404

    def test_anothers_receipt_is_not_found(self, trader: TraderClient, bot: Bot) -> None:
        location = trader.post(f"/api/v1/bot/{bot.id}/start")["Location"]
        assert TraderClient().get(location).status_code == 404

    def test_without_a_token_it_is_401_and_without_the_role_403(self, bot: Bot) -> None:
        nobody = APIClient().get(f"/api/v1/bot/{bot.id}")
        assert (nobody.status_code, nobody.json()["error"]["code"]) == (401, "not_authenticated")
        auditor = TraderClient(bot.user_id, Role.AUDITOR).get(f"/api/v1/bot/{bot.id}")
        assert (auditor.status_code, auditor.json()["error"]["code"]) == (403, "forbidden")

    def test_trades_and_alerts_are_the_callers_own(self, bot: Bot, trader: TraderClient) -> None:
        mine, anothers = story_of(bot), Story()
        for story in (mine, anothers):
            deliver(story.account_traded("buy"), group=READ_MODELS)
            deliver(story.failed(is_final=True), group=ALERTS)

        trades = trader.get("/api/v1/trading/trades").json()["results"]
        assert [trade["bot_id"] for trade in trades] == [str(bot.id)]
        alerts = trader.get("/api/v1/bot/alerts").json()["results"]
        assert [alert["bot_id"] for alert in alerts] == [str(bot.id)]
