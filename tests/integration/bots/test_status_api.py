"""Status, trades, timeline and alerts over HTTP."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from apps.bots.consumers import READ_MODELS
from apps.bots.models import Bot
from apps.core.context import message_context
from apps.core.ids import new_id
from apps.core.terms import Mode
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.store.publish import publish
from apps.events.store.selectors import stream_list
from apps.market.services import instruments_store
from apps.risk.models.halts import HaltLevel, HaltScope
from apps.risk.services.halts import halt_lift_by_id
from tests.factories.bots import Story, TraderClient
from tests.factories.fake_account import XBTUSD
from tests.factories.risk import halted
from tests.integration.bots.conftest import World

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

load_consumers()


def story_of(bot: Bot) -> Story:
    return Story(bot_id=bot.id, user_id=bot.user_id)


class TestStatus:
    def test_of_a_bot_that_never_ran_is_stopped_and_empty(self, trader: TraderClient, bot: Bot) -> None:
        body = trader.get(f"/api/v1/bot/{bot.id}/status").json()

        assert body == {
            "bot_id": str(bot.id),
            "state": "stopped",
            "since": None,
            "run_id": None,
            "run_started_at": None,
            "config_version": None,
            "reason": "",
            "open_orders": [],
            "orders": [],
            "unclear_orders": [],
            "halts": [],
            "command": None,
            "last_error": None,
            "last_skip": None,
            "trades": 0,
            "last_trade_at": None,
            "base_asset": "",
            "quote_asset": "",
            "position_volume": "0",
            "dust": "0",
            "quote_flow": "0",
            "realised_pnl": "0",
            "fees": "0",
            "last_event_seq": 0,
        }

    def test_names_every_halt_that_covers_the_bot_the_strictest_first(self, trader: TraderClient, bot: Bot) -> None:
        of_bot = halted(HaltScope.BOT, bot.id, level=HaltLevel.REDUCING, user_id=bot.user_id, code="mine")
        of_key = halted(HaltScope.KEY, bot.credential_id, level=HaltLevel.REDUCING, user_id=bot.user_id, code="drift")
        of_user = halted(HaltScope.USER, bot.user_id, code="user_disabled")
        of_all = halted(HaltScope.PLATFORM, code="maintenance")
        halted(HaltScope.BOT, user_id=bot.user_id, subject_id=uuid4())
        halted(HaltScope.KEY, user_id=bot.user_id, subject_id=uuid4())
        lifted = halted(HaltScope.BOT, bot.id, user_id=bot.user_id, code="over")
        halt_lift_by_id(halt_id=lifted.id, lifted_by="staff", because="it is over", now=timezone.now())

        found = trader.get(f"/api/v1/bot/{bot.id}/status").json()["halts"]

        assert [each["id"] for each in found] == [str(each.id) for each in (of_user, of_all, of_bot, of_key)]
        assert [each["scope"] for each in found] == ["user", "platform", "bot", "key"]
        assert found[0]["level"] == "halted"
        assert found[0]["reason"] == of_user.reason
        assert found[0]["since"] is not None

    def test_tells_the_run_the_position_and_the_last_trouble(self, trader: TraderClient, bot: Bot) -> None:
        story = story_of(bot)
        story.started(version=3)
        story.traded("buy", volume="0.02", price="10000", fee="0.52")
        story.traded("sell", volume="0.01", price="11000", fee="0.29")
        story.failed(is_final=False)
        story.skipped()
        for envelope in story.envelopes:
            deliver(envelope, group=READ_MODELS)

        body = trader.get(f"/api/v1/bot/{bot.id}/status").json()
        assert (
            body.items()
            >= {
                "state": "running",
                "run_id": str(story.run_id),
                "since": "2026-03-01T12:00:00Z",
                "config_version": 3,
                "trades": 2,
                "last_trade_at": "2026-03-01T12:02:00Z",
                "base_asset": "XBT",
                "quote_asset": "USD",
                "position_volume": "0.01",
                "quote_flow": "-90.81",
                "realised_pnl": "9.45",
                "fees": "0.81",
                "last_event_seq": 5,
                "last_error": {
                    "code": "exchange_down",
                    "message": "The exchange does not answer.",
                    "at": "2026-03-01T12:03:00Z",
                },
                "last_skip": {"code": "budget_spent", "message": "The budget is spent.", "at": "2026-03-01T12:04:00Z"},
            }.items()
        )

    @pytest.mark.parametrize(("sold", "dust"), [("0.0199", "0.0001"), ("0.01", "0")])
    def test_names_what_is_too_little_to_be_sold(self, trader: TraderClient, bot: Bot, sold: str, dust: str) -> None:
        instruments_store([XBTUSD], mode=Mode.PAPER, now=timezone.now())
        story = story_of(bot)
        story.started()
        story.traded("buy", volume="0.02", price="3100", fee="0")
        story.traded("sell", volume=sold, price="3100", fee="0")
        for envelope in story.envelopes:
            deliver(envelope, group=READ_MODELS)

        assert trader.get(f"/api/v1/bot/{bot.id}/status").json()["dust"] == dust

    def test_names_the_command_under_way(self, trader: TraderClient, bot: Bot) -> None:
        receipt = trader.post(f"/api/v1/bot/{bot.id}/start").json()
        body = trader.get(f"/api/v1/bot/{bot.id}/status").json()

        assert (body["state"], body["command"]) == ("starting", {"id": receipt["id"], "kind": "start"})

    def test_trades_are_listed_newest_first_by_pages(self, trader: TraderClient, bot: Bot) -> None:
        story = story_of(bot)
        for _ in range(5):
            deliver(story.traded("buy"), group=READ_MODELS)
        newest_first = [str(getattr(envelope.message(), "trade_id")) for envelope in reversed(story.envelopes)]  # noqa: B009

        seen, url = [], f"/api/v1/bot/{bot.id}/trades?limit=2"
        while url:
            page = trader.get(url).json()
            seen += [trade["trade_id"] for trade in page["results"]]
            url = page["next"]
        assert seen == newest_first

    def test_a_trade_tells_its_own_profit_and_the_position_after_it(self, trader: TraderClient, bot: Bot) -> None:
        story = story_of(bot)
        for side, price in (("buy", "10000"), ("sell", "11000")):
            deliver(story.traded(side, volume="0.01", price=price, fee="0.25"), group=READ_MODELS)

        sale, purchase = trader.get(f"/api/v1/bot/{bot.id}/trades").json()["results"]
        assert sale.items() >= {"side": "sell", "cost": "110", "realised_pnl": "9.5", "position_volume": "0"}.items()
        assert purchase.items() >= {"side": "buy", "cost": "100", "realised_pnl": "0"}.items()
        assert purchase["position_volume"] == "0.01"

    def test_account_trades_can_be_filtered(self, trader: TraderClient) -> None:
        xbt, eth = Story(user_id=trader.user_id), Story(user_id=trader.user_id, pair="ETHUSD")
        for story in (xbt, eth):
            deliver(story.account_traded("buy"), group=READ_MODELS)

        by_pair = trader.get("/api/v1/trading/trades?pair=ETHUSD").json()["results"]
        assert [trade["pair"] for trade in by_pair] == ["ETHUSD"]
        by_key = trader.get(f"/api/v1/trading/trades?credential_id={xbt.credential_id}").json()["results"]
        assert [trade["pair"] for trade in by_key] == ["XBTUSD"]
        by_bot = trader.get(f"/api/v1/trading/trades?bot_id={eth.bot_id}").json()["results"]
        assert [trade["pair"] for trade in by_bot] == ["ETHUSD"]
        assert trader.get("/api/v1/trading/trades?credential_id=x").status_code == 400

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("side=sell", ["11"]),
            ("since=2026-03-01T12:01:00Z", ["12", "11"]),
            ("until=2026-03-01T12:01:00Z", ["10"]),
            ("since=2026-03-01T12:00:00Z&until=2026-03-01T12:02:00Z&side=buy", ["10"]),
            ("mode=live", []),
            ("mode=paper&limit=1", ["12"]),
        ],
    )
    def test_trades_of_a_bot_and_of_the_account_can_be_filtered(
        self, trader: TraderClient, bot: Bot, query: str, expected: list[str]
    ) -> None:
        of_bot, of_account = story_of(bot), story_of(bot)
        for side, price in (("buy", "10"), ("sell", "11"), ("buy", "12")):
            deliver(of_bot.traded(side, price=price), group=READ_MODELS)
            deliver(of_account.account_traded(side, price=price), group=READ_MODELS)

        found = trader.get(f"/api/v1/trading/trades?{query}").json()["results"]
        assert [trade["price"] for trade in found] == expected
        if "mode" not in query:
            found = trader.get(f"/api/v1/bot/{bot.id}/trades?{query}").json()["results"]
            assert [trade["price"] for trade in found] == expected


class TestTimeline:
    def start_and_trade(self, trader: TraderClient, bot: Bot) -> tuple[dict[str, Any], Story]:
        """A start over HTTP, and the events that the bot service publishes for it."""
        receipt = trader.post(f"/api/v1/bot/{bot.id}/start", headers={"X-Request-ID": new_id().hex}).json()
        command_id = UUID(receipt["id"])
        (command,) = stream_list(aggregate_type="bot", aggregate_id=bot.id)
        story, cause = story_of(bot), command_id
        for message in (
            story.started(command_id=command_id).message(),
            story.traded("buy").message(),
            story.account_traded("buy").message(),
        ):
            with message_context(correlation_id=command.correlation_id, causation_id=cause):
                cause = publish(message, now=timezone.now(), user_id=bot.user_id)  # type: ignore[arg-type]
        return receipt, story

    def test_one_chain_leads_from_the_request_to_the_fill(self, trader: TraderClient, bot: Bot) -> None:
        receipt, _ = self.start_and_trade(trader, bot)

        chain = trader.get(f"/api/v1/bot/{bot.id}/timeline?command_id={receipt['id']}").json()["results"]
        assert [entry["type"] for entry in chain] == [
            "bot.start",
            "bot.started",
            "bot.trade.executed",
            "trade.executed",
        ]
        assert [entry["caused_by"] for entry in chain] == [None, *[entry["event_id"] for entry in chain[:-1]]]
        assert chain[0]["event_id"] == receipt["id"]
        assert len({entry["correlation_id"] for entry in chain}) == 1
        assert chain[2]["title"] == "Bought 0.01 XBT at 10000 USD, fee 0.26."
        assert chain[2]["payload"]["price"] == "10000"

    def test_the_bots_own_story_is_paged_newest_first(self, trader: TraderClient, bot: Bot) -> None:
        self.start_and_trade(trader, bot)

        seen, url = [], f"/api/v1/bot/{bot.id}/timeline?limit=2"
        while url:
            page = trader.get(url).json()
            seen += [entry["type"] for entry in page["results"]]
            url = page["next"]
        assert seen == ["bot.trade.executed", "bot.started", "bot.start"]

    def test_of_a_command_of_another_bot_is_not_found(self, world: World, trader: TraderClient, bot: Bot) -> None:
        receipt, _ = self.start_and_trade(trader, bot)
        other = world.add_bot(trader.user_id)

        assert trader.get(f"/api/v1/bot/{other.id}/timeline?command_id={receipt['id']}").status_code == 404

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=201", "before=x", "command_id=x", "before=99999999999999999999"]
    )
    def test_a_malformed_query_is_400(self, trader: TraderClient, bot: Bot, query: str) -> None:
        assert trader.get(f"/api/v1/bot/{bot.id}/timeline?{query}").status_code == 400
