"""Many running bots of one user that are always due to buy, and workers that tick them without a pause."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import count
from uuid import UUID, uuid4

from django.db import connection
from django.utils import timezone

from apps.bots.models import BotState, BotStatus
from apps.core.context import message_context
from apps.core.ids import new_id
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.runs.start import run_start
from apps.trading.services.runs.tick import tick_run
from tests.factories.bots import BotFactory
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import UncachedMarket, add_candle, delivery_of, fake_exchange, start_command


class Fleet:
    """`exchange` serves all of them, each bot with a key of its own; a candle closes after each round of ticks."""

    def __init__(self, *, bots: int, user_id: UUID | None = None) -> None:
        self.user_id = user_id or uuid4()
        self.exchange: FakeExchange = fake_exchange()
        self.exchange.totals["ZUSD"] = Decimal(10**12)
        self.context = ExecutionContext(
            open_exchange=lambda run: self.exchange,
            open_market=lambda mode, clock: UncachedMarket(self.exchange, clock),
        )
        self.runs = [self._start() for _ in range(bots)]
        self.rounds = 0
        self._turns = count()
        self._lock = threading.Lock()

    def _start(self) -> BotRun:
        now = timezone.now()
        command = start_command(
            requested_at=now,
            strategy="dca",
            parameters={"every_candles": 1, "quote_amount": "10"},
            quote_budget="1000000",
        ).model_copy(update={"user_id": self.user_id})
        BotFactory.create(id=command.bot_id, user_id=self.user_id, credential_id=command.config.credential_id)
        with message_context(correlation_id=new_id(), causation_id=command.command_id):
            run = run_start(command=command, delivery=delivery_of(command, now=now), context=self.context)
        BotStatus.objects.create(
            bot_id=run.bot_id, user_id=self.user_id, state=BotState.RUNNING, run_id=run.id, since=timezone.now()
        )
        return run

    @contextmanager
    def ticking(self, *, workers: int) -> Iterator[None]:
        """Workers tick all bots, one after the other, until the block ends. What a worker raises is raised then."""
        over, errors = threading.Event(), []

        def work() -> None:
            try:
                while not over.is_set():
                    tick_run(run_id=self._next().id, context=self.context)
            except Exception as error:
                errors.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()
        if errors:
            raise errors[0]

    def _next(self) -> BotRun:
        with self._lock:
            turn = next(self._turns)
            if turn and turn % len(self.runs) == 0:
                self.rounds += 1
                add_candle(self.exchange, 23_000)
            return self.runs[turn % len(self.runs)]

    def marked(self) -> set[UUID]:
        """The orders that were marked as being sent, whatever became of them."""
        return set(
            OrderIntent.objects.exclude(state=IntentState.PLANNED).exclude(sent_at=None).values_list("id", flat=True)
        )
