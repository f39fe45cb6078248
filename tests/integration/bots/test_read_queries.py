"""What a read costs in queries. Each is one statement, however much there is to read."""

from dataclasses import replace
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.bots.consumers import READ_MODELS
from apps.bots.models import Bot
from apps.core.ids import new_id
from apps.core.terms import Mode
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.market.services import instruments_store
from apps.risk.models.halts import HaltScope
from tests.factories.bots import Story, TraderClient
from tests.factories.fake_account import XBTUSD
from tests.factories.risk import halted
from tests.integration.bots.conftest import World

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

load_consumers()


@pytest.fixture
def busy_bot(trader: TraderClient, world: World) -> Bot:
    """It runs, has open orders, trades, and two halts."""
    instruments_store([XBTUSD], mode=Mode.PAPER, now=timezone.now())
    bot = world.add_bot(trader.user_id)
    story = Story(bot_id=bot.id, user_id=bot.user_id)
    story.started()
    story.traded("buy")
    story.traded("buy")
    for _ in range(3):
        story.order("open", order_id=new_id())
    for envelope in story.envelopes:
        deliver(envelope, group=READ_MODELS)
    halted(HaltScope.BOT, bot.id, user_id=bot.user_id, code="mine")
    halted(HaltScope.PLATFORM, code="maintenance")
    return bot


def test_the_status_is_one_query(trader: TraderClient, busy_bot: Bot, one_query: Any) -> None:
    trader.get(f"/api/v1/bot/{busy_bot.id}/status")  # the process knows the pair's rules from here on

    with one_query:
        body = trader.get(f"/api/v1/bot/{busy_bot.id}/status").json()

    assert (len(body["open_orders"]), len(body["halts"])) == (3, 2)


def test_bots_with_their_status_are_two_queries_however_many(
    trader: TraderClient, world: World, busy_bot: Bot, django_assert_num_queries: Any
) -> None:
    """One reads the page, the other all that its states are made from."""
    for _ in range(5):
        world.add_bot(trader.user_id)
    alone = trader.get(f"/api/v1/bot/{busy_bot.id}/status").json()

    with django_assert_num_queries(2):
        listed = trader.get("/api/v1/bot?include=status").json()["results"]

    assert len(listed) == 6
    assert [each["status"] for each in listed if each["id"] == str(busy_bot.id)] == [alone]
    assert all(each["status"] is None for each in trader.get("/api/v1/bot").json()["results"])


def test_the_pairs_of_many_bots_are_one_query_more(
    trader: TraderClient, world: World, django_assert_num_queries: Any
) -> None:
    instruments = [replace(XBTUSD, altname=f"X{number}USD", code=f"X{number}", symbol="") for number in range(6)]
    instruments_store(instruments, mode=Mode.PAPER, now=timezone.now())
    for instrument in instruments:
        bot = world.add_bot(trader.user_id, pair=instrument.altname)
        deliver(Story(bot_id=bot.id, user_id=bot.user_id).traded("buy"), group=READ_MODELS)

    with django_assert_num_queries(3):
        assert len(trader.get("/api/v1/bot?include=status").json()["results"]) == 6


@pytest.mark.parametrize("query", ["include=orders", "include=", "include=status&include=status", "includes=status"])
def test_what_cannot_be_included_is_refused(trader: TraderClient, query: str) -> None:
    assert trader.get(f"/api/v1/bot?{query}").status_code == 400


def test_a_page_of_trades_is_one_query(trader: TraderClient, busy_bot: Bot, one_query: Any) -> None:
    with one_query:
        body = trader.get(f"/api/v1/bot/{busy_bot.id}/trades").json()

    assert len(body["results"]) == 2


@pytest.fixture
def one_query(django_assert_num_queries: Any) -> CaptureQueriesContext:
    context: CaptureQueriesContext = django_assert_num_queries(1)
    return context
