"""From a command in the outbox to a fill and back to a stop, with every process and broker in between."""

import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from apps.events.store.publish import dispatch
from apps.events.store.selectors import command_execution_get, stream_list
from apps.messages.base import Message
from apps.messages.bots import BotStarted, BotStopped, StopBot
from apps.messages.orders import BotOrderOpened, BotOrderPlanned, BotOrderSent
from apps.messages.trading import BotTradeExecuted
from apps.trading.models.ledger import Fill
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState
from tests.integration.trading.conftest import start_now
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import eventually
from tests.support.workers.processes import Processes

pytestmark = [pytest.mark.django_db(transaction=True)]

CELERY = str(Path(sys.executable).parent / "celery")
START_TO_TRADE_SECONDS = 15


@pytest.fixture
def bot_service(rabbitmq: RabbitMQ, paper_exchange: str, processes: Processes) -> Processes:
    """The processes that a bot needs, the bot service's under its database role."""
    bot = {"SERVICE": "bot", "MUCKARD_DB_ROLE": "bot_service", "MUCKARD_PAPER_EXCHANGE_URL": paper_exchange}
    manage = [sys.executable, "manage.py"]
    processes.start("dispatcher", [*manage, "run_dispatcher"], SERVICE="staff")
    worker = [CELERY, "-A", "celery_app", "worker", "-n", f"path-{uuid4().hex}@localhost", "-c", "2"]
    queues = ["-Q", "bot.start,bot.stop,bot.trigger_trade,bot.tick"]
    quiet = ["--without-gossip", "--without-mingle", "-l", "INFO"]
    processes.start("worker", [*worker, *queues, *quiet], until=" ready", **bot)
    processes.start("scheduler", [*manage, "run_scheduler"], **bot)
    processes.start("reconciler", [*manage, "run_reconciler"], **bot)
    return processes


def story(bot_id: UUID) -> list[Message]:
    return [event.message() for event in stream_list(aggregate_type="bot", aggregate_id=bot_id)]


def test_from_the_command_to_the_fill_and_back(bot_service: Processes, rabbitmq: RabbitMQ) -> None:
    command = start_now()
    with transaction.atomic():
        dispatch(command, now=timezone.now())

    eventually(Fill.objects.exists, seconds=START_TO_TRADE_SECONDS, what=f"a trade\n{bot_service.logs()}")
    run = BotRun.objects.get(bot_id=command.bot_id)
    messages = story(command.bot_id)[1:]
    assert isinstance(messages[0], BotStarted)
    assert [type(each) for each in messages[1:4]] == [BotOrderPlanned, BotOrderSent, BotOrderOpened]
    assert any(isinstance(each, BotTradeExecuted) for each in messages)

    stop = StopBot(
        command_id=uuid4(),
        bot_id=run.bot_id,
        user_id=run.user_id,
        requested_at=timezone.now(),
        expires_at=command.expires_at,
    )
    with transaction.atomic():
        dispatch(stop, now=timezone.now())
    eventually(BotRun.objects.filter(state=RunState.STOPPED).exists, what=f"the stop\n{bot_service.logs()}")
    last = story(command.bot_id)[-1]
    assert isinstance(last, BotStopped)
    assert (last.command_id, last.open_orders) == (stop.command_id, ())
    execution = command_execution_get(command_id=stop.command_id)
    assert execution is not None
    assert (execution.state, execution.attempts) == ("done", 1)
    assert OrderIntent.objects.count() == 1
