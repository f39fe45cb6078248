"""Coins that a bot gives up: they stay in the account, are posted as belonging to no bot, and it is told."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import Sum

from apps.events.commands.delivery import CommandDropped
from apps.events.store.selectors import stream_list
from apps.messages.bots import AbandonPosition, StopBot, StopDeletedBot
from apps.messages.trading import PositionAbandoned
from apps.risk.models.switches import BotSwitch
from apps.trading.models.ledger import LedgerAccount, LedgerEntry, Position, Release
from apps.trading.models.orders import OrderKind
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.orders.placement import order_place
from apps.trading.services.orders.reconciliation import orders_reconcile
from apps.trading.services.runs.stop import run_stop
from apps.trading.services.runs.tick import tick_run
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import (
    NOW,
    SteppingClock,
    context_of,
    delivery_of,
    fake_exchange,
    planned_order,
    running_bot,
    stop_command,
)

pytestmark = pytest.mark.django_db


class Holder:
    """A stopped bot that holds coins."""

    def __init__(self) -> None:
        self.exchange: FakeExchange = fake_exchange([30000] * 30)
        self.clock = SteppingClock()
        self.context = context_of(self.exchange, self.clock)
        self.run = running_bot(self.context, strategy="dca", parameters={"every_candles": 700, "quote_amount": "300"})
        tick_run(run_id=self.run.id, context=self.context)
        self.execute(stop_command(self.run))
        self.held = Position.objects.get().base_volume
        assert self.held > 0

    def execute(self, command: StopBot) -> None:
        run_stop(command=command, delivery=delivery_of(command), context=self.context)

    def deletion(self, **changes: Any) -> StopDeletedBot:
        return StopDeletedBot(**(self._facts() | {"deleted_at": NOW + timedelta(hours=1)} | changes))

    def abandonment(self) -> AbandonPosition:
        return AbandonPosition(**self._facts(), reason="key_disconnected")

    def _facts(self) -> dict[str, Any]:
        later = NOW + timedelta(hours=1)
        return {
            "command_id": uuid4(),
            "bot_id": self.run.bot_id,
            "user_id": self.run.user_id,
            "requested_at": later,
            "expires_at": later + timedelta(days=1),
        }

    def told(self) -> list[PositionAbandoned]:
        messages = [each.message() for each in stream_list(aggregate_type="bot", aggregate_id=self.run.bot_id)]
        return [message for message in messages if isinstance(message, PositionAbandoned)]


def balances() -> dict[tuple[str, str], Decimal]:
    """The ledger's balances that are not zero."""
    sums = LedgerEntry.objects.values_list("account", "asset").annotate(sum=Sum("amount"))
    return {(account, asset): amount for account, asset, amount in sums if amount}


def test_a_deleted_bots_coins_stay_in_the_account_and_belong_to_no_bot() -> None:
    bot = Holder()
    command = bot.deletion()
    before, placed = balances(), len(bot.exchange.placed)
    bot.execute(command)

    assert Position.objects.get().base_volume == 0
    [release] = Release.objects.all()
    assert (release.volume, release.command_id, release.reason) == (bot.held, command.command_id, "bot_deleted")
    after = balances()
    assert after.pop((LedgerAccount.UNALLOCATED, "XXBT")) == before.pop((LedgerAccount.POSITION, "XXBT")) == bot.held
    assert after == before
    [event] = bot.told()
    assert (event.release_id, event.volume, event.pair, event.base_asset) == (release.id, bot.held, "XBTUSD", "XXBT")
    # Nothing is sold: the exchange is not even asked.
    assert len(bot.exchange.placed) == placed
    assert bot.exchange.totals["XXBT"] == bot.held


def test_they_are_given_up_once_however_often_it_is_asked_for() -> None:
    bot = Holder()
    bot.execute(bot.deletion())
    bot.execute(bot.deletion())
    assert Release.objects.count() == 1


def test_a_running_bot_that_is_deleted_is_stopped_first() -> None:
    bot = Holder()
    BotRun.objects.update(state=RunState.RUNNING, stopped_at=None)
    BotSwitch.objects.all().delete()
    bot.execute(bot.deletion())
    assert BotRun.objects.get().state == RunState.STOPPED
    assert Position.objects.get().base_volume == 0
    assert len(bot.told()) == 1


def test_the_owner_of_a_key_that_goes_gives_up_its_bots_coins_and_the_bot_is_not_deleted() -> None:
    bot = Holder()
    bot.execute(bot.abandonment())
    assert Position.objects.get().base_volume == 0
    assert [event.reason for event in bot.told()] == ["key_disconnected"]
    assert not BotSwitch.objects.filter(deleted_at__isnull=False).exists()


def test_a_plain_stop_gives_up_nothing() -> None:
    bot = Holder()
    bot.execute(stop_command(bot.run, requested_at=NOW + timedelta(hours=1)))
    assert Position.objects.get().base_volume == bot.held
    assert Release.objects.count() == 0


def test_another_users_name_gives_up_nothing() -> None:
    bot = Holder()
    with pytest.raises(CommandDropped, match="another user"):
        bot.execute(bot.deletion(user_id=uuid4()))
    assert Position.objects.get().base_volume == bot.held
    assert Release.objects.count() == 0
    assert not BotSwitch.objects.filter(deleted_at__isnull=False).exists()


def test_what_a_deleted_bots_last_order_bought_after_all_is_given_up_when_it_is_known() -> None:
    exchange, clock = fake_exchange([30000] * 30), SteppingClock()
    planned = planned_order(exchange, clock, kind=OrderKind.REST, price=Decimal(20000))
    order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
    planned.lease.release()
    BotSwitch.objects.update_or_create(bot_id=planned.run.bot_id, defaults={"deleted_at": NOW})
    exchange.fill(exchange.placed[0].exchange_order_id)
    clock.sleep(120)
    orders_reconcile(context=context_of(exchange, clock))
    assert Position.objects.get().base_volume == 0
    assert Release.objects.get().volume == Decimal("0.01")
    assert balances()[LedgerAccount.UNALLOCATED, "XXBT"] == Decimal("0.01")


class TestTheTables:
    def test_refuse_a_release_that_does_not_add_up(self) -> None:
        bot = Holder()
        bot.execute(bot.deletion())
        release = Release.objects.get()
        with pytest.raises(IntegrityError, match="do not add up"), transaction.atomic():
            LedgerEntry.objects.create(
                release=release, bot_id=bot.run.bot_id, account="cash", asset="XXBT", amount=1, posted_at=NOW
            )
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def test_refuse_a_posting_of_nothing(self) -> None:
        with pytest.raises(IntegrityError, match="trading_ledger_of_one_cause"), transaction.atomic():
            LedgerEntry.objects.create(bot_id=uuid4(), account="cash", asset="XXBT", amount=1, posted_at=NOW)

    def test_refuse_to_rewrite_a_release(self) -> None:
        bot = Holder()
        bot.execute(bot.deletion())
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            Release.objects.update(volume=1)
