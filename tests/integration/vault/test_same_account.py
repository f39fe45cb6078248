"""A key is rotated to one of the same exchange account only: proved by what was seen in it, never taken on trust."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from rest_framework.test import APIClient

from apps.bots.consumers import READ_MODELS
from apps.bots.models import AccountTrade
from apps.core.terms import Mode
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.exchange import factory as exchange_factory
from apps.exchange.errors import KeyInvalid
from apps.exchange.types import LedgerRow
from apps.vault.models import Credential
from apps.vault.selectors import credential_open
from tests.factories.bots import BotFactory, Story
from tests.factories.exchange import market_order
from tests.factories.fake_exchange import FakeExchange, raising
from tests.factories.vault import API_SECRET, api_key, stored_credential

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

load_consumers()


class Keys:
    """The old key, the new one, and the account that each opens."""

    def __init__(self, user_id: UUID, client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client, self.new = client, api_key()
        self.credential = stored_credential(user_id=user_id, mode=Mode.LIVE)
        self.old = credential_open(credential_id=self.credential.id, user_id=user_id).api_key
        self.account, self.another = FakeExchange(), FakeExchange()
        self.opens = {self.old: self.account, self.new: self.account}
        monkeypatch.setattr(exchange_factory, "KrakenExchange", lambda **given: self.opens[given["api_key"]])

    def rotate(self) -> Any:
        body = {"api_key": self.new, "api_secret": API_SECRET}
        return self.client.post(f"/api/v1/kraken/keys/{self.credential.id}/rotate", body, format="json")

    def refused(self) -> dict[str, Any]:
        """The answer's error; the old key is still in use."""
        response = self.rotate()
        error: dict[str, Any] = response.json()["error"]
        assert (response.status_code, error["code"]) == (409, "account_not_proved")
        assert credential_open(credential_id=self.credential.id, user_id=self.credential.user_id).api_key == self.old
        return error

    def is_rotated(self) -> bool:
        assert self.rotate().status_code == 200
        self.credential.refresh_from_db()
        return self.credential.key_hint == self.new[-4:]

    def bot(self, *steps: str) -> Story:
        bot = BotFactory.create(user_id=self.credential.user_id, credential_id=self.credential.id, mode="live")
        story = Story(bot_id=bot.id, user_id=bot.user_id)
        story.credential_id = self.credential.id
        for step in steps:
            told = {"start": story.started, "buy": lambda: story.traded("buy"), "stop": story.stopped}[step]()
            deliver(told, group=READ_MODELS)
        return story

    def trade(self) -> None:
        """A trade in the account, that the platform has recorded."""
        self.account.submit(market_order())
        [trade] = self.account.trades_history()
        deliver(self.bot("start").account_traded("buy"), group=READ_MODELS)
        AccountTrade.objects.update(exchange_trade_id=trade.trade_id)


@pytest.fixture
def keys(user_id: UUID, client: APIClient, monkeypatch: pytest.MonkeyPatch) -> Keys:
    return Keys(user_id, client, monkeypatch)


def deposit(entry_id: str) -> LedgerRow:
    return LedgerRow(
        entry_id=entry_id,
        reference=f"R{entry_id}",
        kind="deposit",
        asset="ZUSD",
        amount=Decimal(100),
        fee=Decimal(0),
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_a_key_that_knows_a_recorded_trade_is_taken_while_its_bot_runs(keys: Keys) -> None:
    keys.trade()
    assert keys.is_rotated()


def test_a_key_that_does_not_know_it_is_of_another_account(keys: Keys) -> None:
    keys.trade()
    keys.opens[keys.new] = keys.another
    assert "another exchange account" in keys.refused()["message"]


def test_it_is_refused_even_if_no_bot_depends_on_the_key(keys: Keys) -> None:
    keys.account.submit(market_order())
    keys.opens[keys.new] = keys.another
    assert keys.refused()["details"] == {}


def test_without_a_recorded_trade_the_old_keys_orders_prove_it(keys: Keys) -> None:
    keys.bot("start")
    keys.account.submit(market_order())
    assert keys.is_rotated()


def test_without_any_order_a_ledger_entry_proves_it(keys: Keys) -> None:
    keys.bot("start")
    keys.account.ledger_rows.append(deposit("L1"))
    keys.another.ledger_rows.append(deposit("L2"))
    keys.opens[keys.new] = keys.another
    keys.refused()
    keys.opens[keys.new] = keys.account
    assert keys.is_rotated()


@pytest.mark.parametrize("steps", [("start",), ("start", "buy", "stop")])
def test_an_account_without_history_is_not_changed_under_a_bot_that_runs_or_holds(
    keys: Keys, steps: tuple[str, ...]
) -> None:
    story = keys.bot(*steps)
    [facts] = keys.refused()["details"]["bots"]
    assert facts["bot_id"] == str(story.bot_id)
    assert facts["volume"] == ("0.01" if "buy" in steps else "0")


def test_an_order_in_doubt_bars_it_too(keys: Keys) -> None:
    story = keys.bot("start", "stop")
    deliver(story.order("unknown", order_id=uuid4()), group=READ_MODELS)
    [facts] = keys.refused()["details"]["bots"]
    assert len(facts["open_orders"]) == 1


def test_an_account_without_history_is_changed_where_no_bot_depends_on_it(keys: Keys) -> None:
    keys.bot("start", "stop")
    assert keys.is_rotated()


def test_an_old_key_that_is_revoked_proves_nothing(keys: Keys) -> None:
    keys.bot("start")
    dead = FakeExchange()
    dead.on("closed_orders", before=raising(KeyInvalid("It is revoked.")))
    dead.on("ledger", before=raising(KeyInvalid("It is revoked.")))
    keys.opens[keys.old] = dead
    keys.refused()


def test_a_suspended_key_is_not_used_and_a_recorded_trade_proves_it_all_the_same(keys: Keys) -> None:
    keys.trade()
    Credential.objects.update(state="suspended")
    keys.opens[keys.old] = keys.another
    assert keys.rotate().status_code == 200
    assert keys.another.calls == []
