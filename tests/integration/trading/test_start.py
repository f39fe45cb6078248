"""Starting a bot: once, while it is wanted, with everything that belongs to it in one transaction."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.audit.restores import restore_record
from apps.core.context import message_context
from apps.core.errors import PlatformError
from apps.core.ids import new_id
from apps.core.terms import Side
from apps.events.commands.delivery import CommandDropped, ExecutionLost
from apps.events.store.selectors import command_execution_get, stream_list
from apps.exchange.errors import ExchangeUnavailable, UnknownPair
from apps.exchange.types import OrderRequest, OrderType
from apps.messages.bots import BotStarted, StartBot
from apps.risk.models.switches import BotSwitch
from apps.strategies.base import InvalidParameters, UnknownStrategy
from apps.trading.errors import ForeignOrders
from apps.trading.ids import new_client_order_id
from apps.trading.models.histories import ReconciledHistory
from apps.trading.models.ledger import Position
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.runs.schedule import runs_take_due
from apps.trading.services.runs.start import run_start
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import NOW, context_of, delivery_of, fake_exchange, running_bot, start_command

pytestmark = pytest.mark.django_db


def test_a_started_bot_runs_and_says_so_and_the_command_is_done() -> None:
    command = start_command()
    run = run_start(command=command, delivery=delivery_of(command), context=context_of(fake_exchange()))

    assert BotRun.objects.get() == run
    assert (run.state, run.config, run.pair) == (RunState.RUNNING, command.config.model_dump(mode="json"), "XBTUSD")
    [event] = stream_list(aggregate_type="bot", aggregate_id=command.bot_id)
    message = event.message()
    assert isinstance(message, BotStarted)
    assert (message.run_id, message.command_id, message.config_version) == (run.id, command.command_id, 1)
    execution = command_execution_get(command_id=command.command_id)
    assert execution is not None
    assert execution.state == "done"


def test_it_is_due_at_once() -> None:
    run = running_bot(context_of(fake_exchange()))
    [due] = runs_take_due(now=NOW, tick_seconds=1)
    assert due.run_id == run.id


def test_its_position_is_empty_and_names_the_assets() -> None:
    run = running_bot(context_of(fake_exchange()))
    position = Position.objects.get(bot_id=run.bot_id, pair="XBTUSD")
    assert (position.base_asset, position.quote_asset) == ("XXBT", "ZUSD")
    assert (position.base_volume, position.quote_spent) == (0, 0)


def test_the_run_remembers_the_chain_that_started_it() -> None:
    correlation_id = new_id()
    command = start_command()
    with message_context(correlation_id=correlation_id):
        run = run_start(command=command, delivery=delivery_of(command), context=context_of(fake_exchange()))
    assert run.correlation_id == correlation_id
    [event] = stream_list(aggregate_type="bot", aggregate_id=run.bot_id)
    assert run.started_event_id == event.event_id


def test_the_pair_is_stored_under_its_usual_name_whatever_it_was_called() -> None:
    assert running_bot(context_of(fake_exchange()), pair="BTC/USD").pair == "XBTUSD"


def test_a_bot_that_runs_is_not_started_again() -> None:
    context = context_of(fake_exchange())
    run = running_bot(context)
    again = start_command(bot_id=run.bot_id, requested_at=NOW + timedelta(minutes=5))
    with pytest.raises(CommandDropped, match="already running"):
        run_start(command=again, delivery=delivery_of(again), context=context)
    assert BotRun.objects.count() == 1


def test_a_start_that_comes_after_a_later_stop_is_not_wanted() -> None:
    command = start_command()
    BotSwitch.objects.create(bot_id=command.bot_id, stop_requested_at=NOW + timedelta(seconds=1))
    with pytest.raises(CommandDropped, match="superseded"):
        run_start(command=command, delivery=delivery_of(command), context=context_of(fake_exchange()))
    assert BotRun.objects.count() == 0


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"strategy": "momentum"}, UnknownStrategy),
        ({"parameters": {"fast": 9, "slow": 3}}, InvalidParameters),
        ({"pair": "DOGEMOON"}, UnknownPair),
    ],
)
def test_a_definition_that_cannot_run_is_refused_for_good(config: dict[str, Any], error: type[PlatformError]) -> None:
    command = start_command(**config)
    with pytest.raises(error) as refusal:
        run_start(command=command, delivery=delivery_of(command), context=context_of(fake_exchange()))
    assert not refusal.value.retryable
    assert BotRun.objects.count() == 0


def test_an_exchange_that_does_not_answer_is_tried_again() -> None:
    exchange = fake_exchange()
    exchange.fail_reads(ExchangeUnavailable("It does not answer."))
    command = start_command()
    with pytest.raises(ExchangeUnavailable) as error:
        run_start(command=command, delivery=delivery_of(command), context=context_of(exchange))
    assert error.value.retryable
    assert BotRun.objects.count() == 0


def test_a_worker_that_lost_the_command_starts_nothing() -> None:
    command = start_command()
    lost = delivery_of(command)
    delivery_of(command, now=NOW + timedelta(minutes=1))  # another worker takes over
    with pytest.raises(ExecutionLost):
        run_start(command=command, delivery=lost, context=context_of(fake_exchange()))
    assert BotRun.objects.count() == 0
    assert stream_list(aggregate_type="bot", aggregate_id=command.bot_id) == []


def test_what_the_bot_held_after_its_last_run_it_holds_in_the_next() -> None:
    bot_id, credential_id = uuid4(), uuid4()
    Position.objects.create(
        bot_id=bot_id,
        credential_id=credential_id,
        pair="XBTUSD",
        base_asset="XXBT",
        quote_asset="ZUSD",
        base_volume=Decimal("0.5"),
        quote_spent=Decimal(100),
        updated_at=NOW,
    )
    command = start_command(bot_id=bot_id, credential_id=credential_id)
    run_start(command=command, delivery=delivery_of(command), context=context_of(fake_exchange()))
    assert Position.objects.get().base_volume == Decimal("0.5")


def with_orders_of(command: StartBot) -> FakeExchange:
    """An account in which an order of the bot is open that the database does not know, and one of another bot."""
    exchange = fake_exchange()
    for owner in (command.bot_id, uuid4()):
        exchange.submit(
            OrderRequest(
                pair="XBTUSD",
                side=Side.BUY,
                order_type=OrderType.LIMIT,
                volume=Decimal("0.001"),
                price=Decimal(10000),
                client_order_id=new_client_order_id(owner),
                deadline=NOW,
            )
        )
    return exchange


def test_orders_with_the_bots_mark_that_nobody_knows_are_another_installations_and_bar_the_start() -> None:
    """A copy of the database with the same keys, such as a staging system, must not cancel production's orders."""
    command = start_command()
    exchange = with_orders_of(command)
    with pytest.raises(ForeignOrders, match="Nothing was cancelled") as refusal:
        run_start(command=command, delivery=delivery_of(command), context=context_of(exchange))

    assert not refusal.value.retryable
    [told] = refusal.value.details["orders"]
    assert told["exchange_order_id"] == exchange.placed[0].exchange_order_id
    assert [order.status.value for order in exchange.placed] == ["open", "open"]
    assert BotRun.objects.count() == 0


def test_those_of_the_time_that_a_recorded_restore_lost_are_cancelled() -> None:
    command = start_command()
    exchange = with_orders_of(command)
    ReconciledHistory.objects.all().delete()
    restore_record(restored_to=NOW - timedelta(minutes=1), reason="test", operator="ops", file=None, now=timezone.now())
    run_start(command=command, delivery=delivery_of(command), context=context_of(exchange))
    assert [order.status.value for order in exchange.placed] == ["canceled", "open"]


def test_those_placed_after_the_restore_was_recorded_are_another_installations() -> None:
    command = start_command()
    exchange = with_orders_of(command)
    ReconciledHistory.objects.all().delete()
    lost = {"restored_to": NOW - timedelta(hours=2), "now": NOW - timedelta(hours=1)}
    restore_record(reason="test", operator="ops", file=None, **lost)
    with pytest.raises(ForeignOrders):
        run_start(command=command, delivery=delivery_of(command), context=context_of(exchange))
    assert [order.status.value for order in exchange.placed] == ["open", "open"]
