"""Performance and portfolio over HTTP."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.bots.consumers import READ_MODELS
from apps.bots.models import Bot, BotTrade
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.risk.models.accounts import Account, AccountAsset, Allocation
from tests.factories.bots import START_OF_STORY, Story, TraderClient
from tests.factories.vault import stored_credential
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
                {"at": "2026-03-01T12:00:00Z", "price": "10000", "profit": "-0.5", "equity": "999.5"},
                {"at": "2026-03-01T12:01:00Z", "price": "11000", "profit": "19.25", "equity": "1019.25"},
            ],
        }

    def test_counts_orders_not_fills_and_judges_each_by_all_its_fills(self, trader: TraderClient, bot: Bot) -> None:
        story = story_of(bot)
        story.traded("buy", volume="0.04", price="10000", fee="0")
        good, bad = uuid4(), uuid4()
        for order_id, price in ((good, "9999"), (good, "10100"), (bad, "10001"), (bad, "9900")):
            story.traded("sell", volume="0.01", price=price, fee="0", order_id=order_id)
        for envelope in story.envelopes:
            deliver(envelope, group=READ_MODELS)

        body = trader.get(f"/api/v1/bot/{bot.id}/performance").json()
        assert (body["trades"], body["sales"], body["profitable_sales"]) == (5, 2, 1)

    def test_the_profit_of_the_past_does_not_move_with_the_budget(self, trader: TraderClient, bot: Bot) -> None:
        deliver(story_of(bot).traded("buy", volume="0.02", price="10000", fee="0.5"), group=READ_MODELS)
        before = trader.get(f"/api/v1/bot/{bot.id}/performance").json()["equity_curve"]
        Bot.objects.filter(id=bot.id).update(quote_budget=5000)

        after = trader.get(f"/api/v1/bot/{bot.id}/performance").json()["equity_curve"]
        assert [point["profit"] for point in after] == [point["profit"] for point in before] == ["-0.5"]
        assert [point["equity"] for point in after] == ["4999.5"]

    def test_without_a_price_says_that_it_does_not_know(self, trader: TraderClient, bot: Bot) -> None:
        deliver(story_of(bot).traded("buy"), group=READ_MODELS)

        body = trader.get(f"/api/v1/bot/{bot.id}/performance").json()
        assert (body["last_price"], body["unrealised_pnl"], body["equity"]) == (None, None, None)

    def test_of_a_bot_that_never_traded_is_its_budget(self, trader: TraderClient, bot: Bot) -> None:
        body = trader.get(f"/api/v1/bot/{bot.id}/performance").json()
        assert (body["equity"], body["unrealised_pnl"], body["equity_curve"]) == ("1000", "0", [])


class TestEquity:
    """A purchase at 12:00 and a sale at 12:01, seen from 12:04 on."""

    @pytest.fixture(autouse=True)
    def _five_past(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(timezone, "now", lambda: START_OF_STORY + timedelta(minutes=4, seconds=30))

    def trade(self, bot: Bot) -> Story:
        story = story_of(bot)
        deliver(story.traded("buy", volume="0.02", price="10000", fee="0.5"), group=READ_MODELS)
        deliver(story.traded("sell", volume="0.01", price="11000", fee="0.25"), group=READ_MODELS)
        return story

    def profits(self, trader: TraderClient, path: str) -> list[tuple[str, str]]:
        body = trader.get(path).json()
        points = body["points"] if "points" in body else body["curves"][0]["points"]
        return [(point["at"][11:19], point["profit"]) for point in points]

    def test_is_valued_at_fills_and_at_the_last_price(self, world: World, trader: TraderClient, bot: Bot) -> None:
        self.trade(bot)
        world.set_price("12000", START_OF_STORY)
        body = trader.get(f"/api/v1/bot/{bot.id}/equity").json()
        assert {**body, "points": body["points"][-1:]} == {
            "mode": "paper",
            "bot_id": str(bot.id),
            "pair": "XBTUSD",
            "quote_asset": "USD",
            "quote_budget": "1000",
            "since": "2026-03-01T12:00:00Z",
            "until": "2026-03-01T12:04:30Z",
            "resolution_seconds": 60,
            "points": [{"at": "2026-03-01T12:04:30Z", "profit": "29.25", "equity": "1029.25"}],
        }
        assert self.profits(trader, f"/api/v1/bot/{bot.id}/equity?since=2026-03-01T11:59:00Z") == [
            ("12:00:00", "-0.5"),
            ("12:01:00", "19.25"),
            ("12:02:00", "19.25"),
            ("12:03:00", "19.25"),
            ("12:04:00", "19.25"),
            ("12:04:30", "29.25"),
        ]

    def test_follows_the_candles_of_a_market_whose_time_is_the_clocks(
        self, world: World, trader: TraderClient, bot: Bot
    ) -> None:
        self.trade(bot)
        closes = ((timedelta(minutes=2), Decimal(9000)), (timedelta(minutes=3), Decimal(11000)))
        world.closes = [(START_OF_STORY + after, price) for after, price in closes]
        assert self.profits(trader, f"/api/v1/bot/{bot.id}/equity") == [
            ("12:01:00", "19.25"),
            ("12:02:00", "-0.75"),
            ("12:03:00", "19.25"),
            ("12:04:00", "19.25"),
            ("12:04:30", "19.25"),
        ]

    def test_counts_fills_that_an_older_release_wrote_during_an_upgrade(
        self, world: World, trader: TraderClient, bot: Bot
    ) -> None:
        self.trade(bot)
        path = f"/api/v1/bot/{bot.id}/equity"
        before = self.profits(trader, path)
        BotTrade.objects.update(realised_total=None)
        assert self.profits(trader, path) == before

    def test_coins_that_were_given_up_are_neither_profit_nor_loss(
        self, world: World, trader: TraderClient, bot: Bot
    ) -> None:
        deliver(self.trade(bot).abandoned(volume="0.01"), group=READ_MODELS)
        world.set_price("1", START_OF_STORY)
        assert self.profits(trader, f"/api/v1/bot/{bot.id}/equity")[1:3] == [("12:02:00", "9.5"), ("12:03:00", "9.5")]

    def test_a_late_fill_changes_what_came_after_it(self, world: World, trader: TraderClient, bot: Bot) -> None:
        story = story_of(bot)
        early = story.traded("buy", volume="0.02", price="10000", fee="0.5")
        late = story.traded("sell", volume="0.01", price="11000", fee="0.25")
        deliver(late, group=READ_MODELS)
        deliver(early, group=READ_MODELS)
        assert self.profits(trader, f"/api/v1/bot/{bot.id}/equity")[-1] == ("12:04:30", "19.25")

    def test_of_an_account_adds_up_the_bots_of_one_mode(self, world: World, trader: TraderClient, bot: Bot) -> None:
        self.trade(bot)
        self.trade(world.add_bot(trader.user_id))
        self.trade(world.add_bot(trader.user_id, mode="live"))
        self.trade(world.add_bot(uuid4()))
        Bot.objects.filter(id=bot.id).update(deleted_at=START_OF_STORY)
        body = trader.get("/api/v1/trading/equity?mode=paper&points=2").json()
        [curve] = body["curves"]
        assert (body["mode"], curve["quote_asset"], curve["quote_budget"]) == ("paper", "USD", "1000")
        assert curve["points"][-1] == {"at": "2026-03-01T12:04:30Z", "profit": "38.5", "equity": "1038.5"}
        assert len(curve["points"]) <= 2

    def test_of_a_bot_that_never_traded_is_its_budget(self, trader: TraderClient, bot: Bot) -> None:
        body = trader.get(f"/api/v1/bot/{bot.id}/equity").json()
        assert body["points"] == [{"at": "2026-03-01T12:04:30Z", "profit": "0", "equity": "1000"}]
        assert trader.get("/api/v1/trading/equity?mode=live").json()["curves"] == []

    def test_of_anothers_bot_is_not_found(self, world: World, trader: TraderClient) -> None:
        assert trader.get(f"/api/v1/bot/{world.add_bot(uuid4()).id}/equity").status_code == 404

    @pytest.mark.parametrize("query", ["", "?mode=both", "?mode=paper&points=501", "?mode=paper&resolution=60"])
    def test_what_it_cannot_be_asked_for_is_refused(self, trader: TraderClient, query: str) -> None:
        assert trader.get(f"/api/v1/trading/equity{query}").status_code == 400


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
            "accounts": [],
        }

    def test_says_of_each_account_what_is_the_bots_and_what_is_nobodys(self, trader: TraderClient) -> None:
        key = stored_credential(user_id=trader.user_id, label="Paper")
        stored_credential(user_id=trader.user_id, label="Another, without a bot")
        account = Account.objects.create(credential_id=key.id, user_id=trader.user_id, compared_at=START_OF_STORY)
        AccountAsset.objects.create(account=account, asset="ZUSD", booked="10000", dust="0.0001")
        AccountAsset.objects.create(
            account=account,
            asset="XXBT",
            booked="0.5",
            drift_since=START_OF_STORY,
            drift_expected="0.5",
            drift_found="0.4",
        )
        AccountAsset.objects.create(account=account, asset="DOGE", booked="0")
        for coins, cash in (("0.1", "1000"), ("0.15", "500.25")):
            Allocation.objects.create(
                bot_id=uuid4(), account=account, pair="XBTUSD", base_asset="XXBT", quote_asset="ZUSD",
                quote_budget="2000", quote_amount=cash, base_amount=coins,
            )  # fmt: skip

        empty, paper = trader.get("/api/v1/trading/portfolio").json()["accounts"]
        assert (empty["label"], empty["compared_at"], empty["assets"]) == ("Another, without a bot", None, [])
        assert (paper["credential_id"], paper["mode"], paper["compared_at"]) == (
            str(key.id), "paper", "2026-03-01T12:00:00Z",
        )  # fmt: skip
        assert paper["assets"] == [
            {"asset": "XBT", "total": "0.5", "bots_cash": "0", "bots_coins": "0.25", "unallocated": "0.25", "dust": "0",
             "drift": "-0.1"},
            {"asset": "USD", "total": "10000", "bots_cash": "1500.25", "bots_coins": "0", "unallocated": "8499.75",
             "dust": "0.0001", "drift": None},
        ]  # fmt: skip

    def test_has_no_account_of_another_user(self, trader: TraderClient) -> None:
        stored_credential(user_id=uuid4())
        assert trader.get("/api/v1/trading/portfolio").json()["accounts"] == []
