"""The real paper exchange over HTTP, a wire to it that can be cut, bots with real keys on it; and one in memory."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

import apps.trading.tasks  # noqa: F401  (registers what runs commands, as Celery does in a worker)
from apps.core.terms import Mode
from apps.events.commands.registry import execute
from apps.exchange.port import Exchange
from apps.messages.bots import StartBot
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.live import exchange_of
from apps.vault.services.connect import credential_connect
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import SteppingClock, bot_config, context_of, fake_exchange
from tests.factories.wire import Wire
from tests.support.workers.processes import Processes

# What a paper account begins with.
DEPOSIT = Decimal(10_000)


@pytest.fixture(autouse=True)
def _market(market_of_its_own: None) -> None:
    """No test sees market data that another one has cached."""


@pytest.fixture
def paper_exchange(settings: Settings, live_server: LiveServer) -> str:
    """Its address. A candle lasts a minute, so that the market does not run away from an order on a slow machine."""
    settings.ROOT_URLCONF = "paper_exchange.urls"
    settings.MARKET_DATA = None
    settings.MARKET_CANDLE_SECONDS = 60.0
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"paper_exchange_url": live_server.url})
    return str(live_server.url)


@pytest.fixture
def wire(paper_exchange: str) -> Iterator[Wire]:
    with Wire(paper_exchange) as wire:
        yield wire


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.kill_all()


def start_now(requested_at: datetime | None = None, **config: Any) -> StartBot:
    """A command to start a bot with a paper account of its own."""
    now = requested_at or timezone.now()
    user_id = uuid4()
    credential = credential_connect(user_id=user_id, label="Play", mode=Mode.PAPER, now=now)
    facts: dict[str, Any] = {"strategy": "dca", "parameters": {"every_candles": 700, "quote_amount": "100"}}
    return StartBot(
        command_id=uuid4(),
        bot_id=uuid4(),
        user_id=user_id,
        config=bot_config(**(facts | config | {"credential_id": credential.id})),
        requested_at=now,
        expires_at=now.replace(year=now.year + 1),
    )


def paper_bot(**config: Any) -> tuple[BotRun, Exchange]:
    """A running bot, and its account as the exchange sees it."""
    command = start_now(**config)
    assert execute(command) == "done"
    run = BotRun.objects.get(bot_id=command.bot_id)
    return run, exchange_of(run)


@pytest.fixture
def exchange() -> FakeExchange:
    """An account on an exchange in memory, whose market rises. A file of tests may have one of its own."""
    return fake_exchange()


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def context(exchange: FakeExchange, clock: SteppingClock) -> ExecutionContext:
    """Runs on that exchange, by that clock."""
    return context_of(exchange, clock)
