"""Performance and portfolio over HTTP."""

from uuid import uuid4

import pytest

from apps.bots.consumers import READ_MODELS
from apps.bots.models import Bot
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from tests.factories.bots import START_OF_STORY, Story, TraderClient
from tests.integration.bots.conftest import World

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

load_consumers()


def story_of(bot: Bot) -> Story:
    return Story(bot_id=bot.id, user_id=bot.user_id)


class TestPerformance:
    def test_adds_up_budget_profit_and_what_the_position_is_worth(
        self, world: World, trader: TraderClient, bot: Bot
    ) -> None:
        story = story_of(bot)
        story.traded("buy", volume="0.02", price="10000", fee="0.5")
        story.traded("sell", volume="0.01", price="11000", fee="0.25")
        for envelope in story.envelopes:
            deliver(envelope, group=READ_MODELS)
        world.set_price("12000", START_OF_STORY)

        body = trader.get(f"/api/v1/bot/{bot.id}/performance").json()
        assert body == {
            "bot_id": str(bot.id),
            "pair": "XBTUSD",
            "base_asset": "XBT",
            "quote_asset": "USD",
            "quote_budget": "1000",
            "trades": 2,
            "sales": 1,
            "profitable_sales": 1,
            "position_volume": "0.01",
            "average_price": "10025",
            "last_price": "12000",
            "last_price_as_of": "2026-03-01T12:00:00Z",
            "realised_pnl": "9.5",
            "unrealised_pnl": "19.75",
            "fees": "0.75",
            "equity": "1029.25",
            "equity_curve": [
                {"at": "2026-03-01T12:00:00Z", "price": "10000", "equity": "999.5"},
                {"at": "2026-03-01T12:01:00Z", "price": "11000", "equity": "1019.25"},
            ],
        }

    def test_without_a_price_says_that_it_does_not_know(self, trader: TraderClient, bot: Bot) -> None:
        deliver(story_of(bot).traded("buy"), group=READ_MODELS)

        body = trader.get(f"/api/v1/bot/{bot.id}/performance").json()
        assert (body["last_price"], body["unrealised_pnl"], body["equity"]) == (None, None, None)

    def test_of_a_bot_that_never_traded_is_its_budget(self, trader: TraderClient, bot: Bot) -> None:
        body = trader.get(f"/api/v1/bot/{bot.id}/performance").json()
        assert (body["equity"], body["unrealised_pnl"], body["equity_curve"]) == ("1000", "0", [])


class TestPortfolio:
    def trade(self, bot: Bot, *fills: tuple[str, str, str]) -> None:
        story = story_of(bot)
        for side, volume, price in fills:
            deliver(story.traded(side, volume=volume, price=price, fee="1"), group=READ_MODELS)
            deliver(story.account_traded(side, volume=volume, price=price, fee="1"), group=READ_MODELS)

    def test_adds_up_bots_of_one_mode_and_never_paper_and_live(self, world: World, trader: TraderClient) -> None:
        holder, seller = world.add_bot(trader.user_id, name="Holder"), world.add_bot(trader.user_id)
        live = world.add_bot(trader.user_id, mode="live")
        self.trade(holder, ("buy", "0.02", "10000"))
        self.trade(seller, ("buy", "0.01", "10000"), ("sell", "0.01", "12000"))
        self.trade(live, ("buy", "1", "10000"))
        self.trade(world.add_bot(uuid4()), ("buy", "1", "10000"))
        world.set_price("11000", START_OF_STORY)

        body = trader.get("/api/v1/trading/portfolio").json()
        assert (body["trades"], body["last_trade_at"]) == (4, "2026-03-01T12:03:00Z")
        held = {each["bot_id"]: each for each in body["holdings"]}
        assert set(held) == {str(holder.id), str(live.id)}
        assert held[str(holder.id)] == {
            "bot_id": str(holder.id),
            "bot_name": "Holder",
            "mode": "paper",
            "pair": "XBTUSD",
            "base_asset": "XBT",
            "quote_asset": "USD",
            "volume": "0.02",
            "average_price": "10050",
            "last_price": "11000",
            "last_price_as_of": "2026-03-01T12:00:00Z",
            "value": "220",
            "unrealised_pnl": "19",
        }
        assert body["totals"] == [
            {
                "mode": "live",
                "quote_asset": "USD",
                "bots": 1,
                "trades": 1,
                "realised_pnl": "0",
                "fees": "1",
                "value": "11000",
                "unrealised_pnl": "999",
            },
            {
                "mode": "paper",
                "quote_asset": "USD",
                "bots": 2,
                "trades": 3,
                "realised_pnl": "18",
                "fees": "3",
                "value": "220",
                "unrealised_pnl": "19",
            },
        ]

    def test_without_a_price_a_sum_is_unknown_rather_than_wrong(self, world: World, trader: TraderClient) -> None:
        self.trade(world.add_bot(trader.user_id), ("buy", "0.02", "10000"))

        (total,) = trader.get("/api/v1/trading/portfolio").json()["totals"]
        assert (total["value"], total["unrealised_pnl"], total["realised_pnl"]) == (None, None, "0")

    def test_what_a_deleted_bot_earned_still_counts(self, world: World, trader: TraderClient) -> None:
        bot = world.add_bot(trader.user_id)
        self.trade(bot, ("buy", "0.01", "10000"), ("sell", "0.01", "12000"))
        assert trader.delete(f"/api/v1/bot/{bot.id}").status_code == 204

        (total,) = trader.get("/api/v1/trading/portfolio").json()["totals"]
        assert total["realised_pnl"] == "18"

    def test_of_a_new_trader_is_empty(self, trader: TraderClient) -> None:
        assert trader.get("/api/v1/trading/portfolio").json() == {
            "trades": 0,
            "last_trade_at": None,
            "holdings": [],
            "totals": [],
        }
