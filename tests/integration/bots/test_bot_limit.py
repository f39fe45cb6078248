"""A user has as many bots as the platform allows, and no more, however many requests come at once."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from apps.bots.errors import TooManyBots
from apps.bots.models import Bot
from apps.bots.services.definitions import bot_create
from tests.factories.bots import TraderClient
from tests.integration.bots.conftest import World
from tests.integration.bots.test_definitions_api import definition

pytestmark = pytest.mark.urls("kraken_service.urls")


@pytest.mark.django_db
def test_one_more_is_refused_with_the_figures_until_one_is_deleted(
    world: World, trader: TraderClient, bot: Bot, settings: Any
) -> None:
    settings.BOTS_PER_USER = 2
    assert trader.post("/api/v1/bot", definition(world, trader)).status_code == 201

    refused = trader.post("/api/v1/bot", definition(world, trader))
    clone = trader.post(f"/api/v1/bot/{bot.id}/clone", {})

    assert [answer.status_code for answer in (refused, clone)] == [409, 409]
    error = refused.json()["error"]
    assert (error["code"], error["details"]) == ("too_many_bots", {"bots": 2, "limit": 2})
    assert Bot.objects.count() == 2
    assert trader.delete(f"/api/v1/bot/{bot.id}").status_code == 204
    assert trader.post("/api/v1/bot", definition(world, trader)).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_requests_at_once_do_not_pass_the_limit_together(world: World, trader: TraderClient, settings: Any) -> None:
    settings.BOTS_PER_USER = 3
    fields = definition(world, trader)
    fields |= {"credential_id": UUID(fields["credential_id"]), "quote_budget": Decimal(fields["quote_budget"])}

    def create(number: int) -> bool:
        try:
            bot_create(user_id=trader.user_id, now=timezone.now(), **fields | {"name": f"number {number}"})
        except TooManyBots:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(create, range(8)))

    assert sum(created) == 3
    assert Bot.objects.count() == 3
