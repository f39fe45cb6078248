"""A start is refused where the account does not cover the budget beside the key's other bots."""

from decimal import Decimal
from uuid import uuid4

import pytest

from apps.bots.models import Bot, BotCommand
from apps.bots.services import budgets
from apps.exchange.errors import ExchangeUnavailable
from apps.exchange.types import Balance
from apps.risk.models.accounts import Account, Allocation
from tests.factories.bots import BotFactory, TraderClient
from tests.integration.bots.conftest import World

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, world: World, bot: Bot) -> dict[str, Balance]:
    """The balances of the bot's account, as the exchange gives them."""
    balances = {"USD": Balance("USD", Decimal(10_000))}
    monkeypatch.setattr(budgets, "account_balances", lambda **_: balances)
    monkeypatch.setattr(budgets, "pair_rules_kept", world.pair_rules_kept)
    return balances


def allocate(bot: Bot, amount: int, **facts: object) -> None:
    account, _ = Account.objects.get_or_create(credential_id=bot.credential_id, defaults={"user_id": bot.user_id})
    share = {"bot_id": uuid4(), "pair": "XBTUSD", "base_asset": "XBT", "quote_asset": "USD"}
    Allocation.objects.create(
        **(share | facts), account=account, quote_budget=Decimal(amount), quote_amount=Decimal(amount)
    )


@pytest.mark.usefixtures("account")
class TestStart:
    def test_a_budget_that_other_bots_have_is_refused_with_the_figures(self, trader: TraderClient, bot: Bot) -> None:
        allocate(bot, 9_500)
        response = trader.post(f"/api/v1/bot/{bot.id}/start")

        assert response.status_code == 422
        error = response.json()["error"]
        assert error["code"] == "budget_exceeds_account"
        assert error["details"] == {
            "asset": "USD",
            "asked": "1000",
            "balance": "10000",
            "allocated": "9500",
            "held_by_other_orders": "0",
            "unallocated": "500",
        }
        assert not BotCommand.objects.exists()

    def test_a_start_that_waits_for_its_worker_counts(self, trader: TraderClient, bot: Bot) -> None:
        other = BotFactory.create(user_id=bot.user_id, credential_id=bot.credential_id, quote_budget=Decimal(9_500))
        assert trader.post(f"/api/v1/bot/{other.id}/start").status_code == 202

        error = trader.post(f"/api/v1/bot/{bot.id}/start").json()["error"]

        assert (error["code"], error["details"]["allocated"]) == ("budget_exceeds_account", "9500")

    def test_a_start_that_a_stop_superseded_counts_no_more(self, trader: TraderClient, bot: Bot) -> None:
        other = BotFactory.create(user_id=bot.user_id, credential_id=bot.credential_id, quote_budget=Decimal(9_500))
        trader.post(f"/api/v1/bot/{other.id}/start")
        trader.post(f"/api/v1/bot/{other.id}/stop")

        assert trader.post(f"/api/v1/bot/{bot.id}/start").status_code == 202

    def test_by_body_it_is_refused_as_well(self, trader: TraderClient, bot: Bot) -> None:
        allocate(bot, 9_500)
        assert trader.post("/api/v1/bot/start", {"bot_id": str(bot.id)}).status_code == 422

    def test_a_budget_of_what_is_left_is_accepted(self, trader: TraderClient, bot: Bot) -> None:
        allocate(bot, 9_000)
        assert trader.post(f"/api/v1/bot/{bot.id}/start").status_code == 202

    def test_the_bots_own_share_is_not_counted_against_it(self, trader: TraderClient, bot: Bot) -> None:
        allocate(bot, 10_000, bot_id=bot.id)
        assert trader.post(f"/api/v1/bot/{bot.id}/start").status_code == 202

    def test_what_others_orders_hold_is_not_given_away(
        self, trader: TraderClient, bot: Bot, account: dict[str, Balance]
    ) -> None:
        account["USD"] = Balance("USD", Decimal(10_000), held=Decimal(9_500))
        assert trader.post(f"/api/v1/bot/{bot.id}/start").json()["error"]["code"] == "budget_exceeds_account"

    def test_an_exchange_that_does_not_answer_leaves_the_check_to_the_worker(
        self, trader: TraderClient, bot: Bot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def silent(**_: object) -> None:
            raise ExchangeUnavailable("It does not answer.")

        monkeypatch.setattr(budgets, "account_balances", silent)
        assert trader.post(f"/api/v1/bot/{bot.id}/start").status_code == 202
