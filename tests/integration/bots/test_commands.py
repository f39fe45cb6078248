"""Commands to bots: what is recorded, what is dispatched, and what is refused."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.bots.consumers import READ_MODELS
from apps.bots.errors import (
    AmountTooLarge,
    BotAlreadyRunning,
    BotNotFound,
    BotNotRunning,
    BotStopping,
    CredentialNotActive,
    UnknownPair,
)
from apps.bots.models import Bot, BotCommand, BotState
from apps.bots.selectors.bots import bot_view
from apps.bots.services.commands import bot_flatten, bot_pause, bot_start, bot_stop, bot_stop_all, bot_trigger_trade
from apps.core.errors import Malformed
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.models import OutboxRow, StoredEvent
from apps.events.store.selectors import event_get
from apps.messages.bots import StartLimitedBot, StopBot, TriggerTrade
from apps.risk.models.switches import BotSwitch
from tests.factories.bots import Story
from tests.integration.bots.conftest import World
from tests.integration.bots.executions import execution

pytestmark = pytest.mark.django_db

load_consumers()


def state_of(bot: Bot) -> BotState:
    return bot_view(bot, now=timezone.now()).state


def start(bot: Bot) -> BotCommand:
    return bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())


def stop(bot: Bot) -> BotCommand:
    return bot_stop(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())


def pause(bot: Bot) -> BotCommand:
    return bot_pause(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())


def flatten(bot: Bot) -> BotCommand:
    return bot_flatten(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())


def run(bot: Bot) -> Story:
    """Makes the bot run: a worker has executed its start, and the run event has arrived."""
    execution(start(bot).id, "done")
    story = Story(bot_id=bot.id, user_id=bot.user_id)
    deliver(story.started(), group=READ_MODELS)
    return story


def payload_of(command: BotCommand) -> object:
    envelope = event_get(event_id=command.id)
    assert envelope is not None
    return envelope.message()


class TestStart:
    def test_records_the_command_and_dispatches_it_with_the_definition(self, bot: Bot) -> None:
        command = start(bot)

        assert payload_of(command) == StartLimitedBot(
            command_id=command.id,
            bot_id=bot.id,
            user_id=bot.user_id,
            config=bot.config,
            requested_at=command.requested_at,
            expires_at=command.requested_at + timedelta(hours=24),
        )
        row = OutboxRow.objects.get(transport="rabbitmq")
        assert (row.event_id, row.destination, row.key) == (command.id, "bot.start", bot.id)
        assert state_of(bot) == BotState.STARTING

    def test_twice_is_a_conflict_and_leaves_one_command(self, bot: Bot) -> None:
        start(bot)

        with pytest.raises(BotAlreadyRunning):
            start(bot)
        assert BotCommand.objects.count() == 1
        assert OutboxRow.objects.filter(destination="bot.start").count() == 1

    def test_of_a_running_bot_is_a_conflict(self, bot: Bot) -> None:
        run(bot)

        with pytest.raises(BotAlreadyRunning, match="already running"):
            start(bot)
        assert BotCommand.objects.count() == 1

    def test_is_refused_while_the_bot_is_being_stopped(self, bot: Bot) -> None:
        run(bot)
        stop(bot)

        with pytest.raises(BotStopping):
            start(bot)

    def test_is_refused_with_a_key_that_is_not_active_any_more(self, world: World, bot: Bot) -> None:
        world.disable_key(bot.user_id, bot.credential_id)

        with pytest.raises(CredentialNotActive):
            start(bot)
        assert StoredEvent.objects.count() == 0

    def test_is_refused_for_a_pair_that_is_not_traded_any_more(self, world: World, bot: Bot) -> None:
        world.pairs.clear()

        with pytest.raises(UnknownPair):
            start(bot)

    @pytest.mark.parametrize("outcome", ["failed", "dropped"])
    def test_can_be_asked_for_again_after_one_that_came_to_nothing(self, bot: Bot, outcome: str) -> None:
        execution(start(bot).id, outcome)

        again = start(bot)
        assert state_of(bot) == BotState.STARTING
        assert BotCommand.objects.get(closed_at=None) == again

    def test_can_be_asked_for_again_once_it_ran_out_of_time(self, bot: Bot) -> None:
        first = bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now() - timedelta(hours=25))

        again = start(bot)
        first.refresh_from_db()
        assert (first.superseded_by, first.closed_at) == (None, again.requested_at)

    def test_of_another_users_bot_is_not_found(self, bot: Bot) -> None:
        with pytest.raises(BotNotFound):
            bot_start(bot_id=bot.id, user_id=uuid4(), now=timezone.now())
        assert BotCommand.objects.count() == 0


class TestStop:
    @pytest.mark.parametrize(("ask", "manner"), [(pause, "pause"), (stop, "stop"), (flatten, "flatten")])
    def test_dispatches_its_manner(self, bot: Bot, ask: object, manner: str) -> None:
        run(bot)
        assert callable(ask)
        command = ask(bot)

        message = payload_of(command)
        assert isinstance(message, StopBot)
        assert (message.manner, message.bot_id, message.user_id) == (manner, bot.id, bot.user_id)
        assert state_of(bot) == BotState.STOPPING

    def test_overrules_a_start_that_was_not_delivered_yet(self, bot: Bot) -> None:
        first = start(bot)
        second = stop(bot)

        first.refresh_from_db()
        assert (first.superseded_by, first.closed_at) == (second, second.requested_at)
        assert BotCommand.objects.get(closed_at=None) == second

    @pytest.mark.parametrize("ask", [pause, stop, flatten])
    def test_of_a_stopped_bot_is_a_conflict(self, bot: Bot, ask: object) -> None:
        assert callable(ask)
        with pytest.raises(BotNotRunning):
            ask(bot)
        assert StoredEvent.objects.count() == 0

    def test_a_stronger_one_overrules_a_weaker_one_under_way(self, bot: Bot) -> None:
        run(bot)
        first, second, third = pause(bot), stop(bot), flatten(bot)

        first.refresh_from_db()
        second.refresh_from_db()
        assert (first.superseded_by, second.superseded_by) == (second, third)

    def test_a_weaker_or_equal_one_does_not_overrule_one_under_way(self, bot: Bot) -> None:
        run(bot)
        stop(bot)

        for ask in (pause, stop):
            with pytest.raises(BotStopping):
                ask(bot)

    def test_a_paused_bot_can_be_stopped_for_good(self, bot: Bot) -> None:
        story = run(bot)
        execution(pause(bot).id, "done")
        deliver(story.stopped(manner="pause", open_orders=("O1",)), group=READ_MODELS)
        assert state_of(bot) == BotState.PAUSED

        stop(bot)
        assert state_of(bot) == BotState.STOPPING

    def test_a_stopped_bot_that_still_holds_something_can_be_flattened(self, bot: Bot) -> None:
        story = run(bot)
        execution(stop(bot).id, "done")
        for envelope in (story.traded("buy"), story.stopped()):
            deliver(envelope, group=READ_MODELS)

        with pytest.raises(BotNotRunning):
            stop(bot)
        flatten(bot)
        assert state_of(bot) == BotState.STOPPING


class TestStopAll:
    def test_asks_every_bot_that_is_at_work_and_no_other(self, world: World, bot: Bot) -> None:
        running, starting, idle = bot, world.add_bot(bot.user_id), world.add_bot(bot.user_id)
        anothers = world.add_bot(uuid4())
        run(running)
        start(starting)
        run(anothers)

        commands = bot_stop_all(user_id=bot.user_id, manner="flatten", now=timezone.now())

        assert {command.bot_id for command in commands} == {running.id, starting.id}
        assert {command.kind for command in commands} == {"flatten"}
        assert state_of(idle) == BotState.STOPPED
        assert state_of(anothers) == BotState.RUNNING

    def test_twice_asks_nobody_twice(self, bot: Bot) -> None:
        run(bot)
        assert len(bot_stop_all(user_id=bot.user_id, manner="stop", now=timezone.now())) == 1
        assert bot_stop_all(user_id=bot.user_id, manner="stop", now=timezone.now()) == []


class TestTriggerTrade:
    def ask(self, bot: Bot, **fields: object) -> BotCommand:
        return bot_trigger_trade(
            bot_id=bot.id,
            user_id=bot.user_id,
            now=timezone.now(),
            **fields,  # type: ignore[arg-type]
        )

    def test_dispatches_what_was_asked_and_expires_in_a_quarter_of_an_hour(self, bot: Bot) -> None:
        run(bot)
        command = self.ask(bot, side="buy", quote_amount=Decimal("12.50"))

        assert payload_of(command) == TriggerTrade(
            command_id=command.id,
            bot_id=bot.id,
            user_id=bot.user_id,
            side="buy",
            quote_amount=Decimal("12.50"),
            requested_at=command.requested_at,
            expires_at=command.requested_at + timedelta(minutes=15),
        )
        assert command.arguments == {"side": "buy", "quote_amount": "12.5"}

    def test_does_not_change_the_state_and_may_be_asked_again(self, bot: Bot) -> None:
        run(bot)
        self.ask(bot)
        self.ask(bot)

        assert state_of(bot) == BotState.RUNNING
        assert BotCommand.objects.filter(kind="trigger_trade").count() == 2

    def test_of_a_bot_that_does_not_run_is_a_conflict(self, bot: Bot) -> None:
        with pytest.raises(BotNotRunning):
            self.ask(bot)
        start(bot)
        with pytest.raises(BotNotRunning, match="starting"):
            self.ask(bot)

    def test_for_more_than_the_budget_is_refused(self, bot: Bot) -> None:
        run(bot)
        with pytest.raises(AmountTooLarge):
            self.ask(bot, side="buy", quote_amount=bot.quote_budget + Decimal("0.01"))

    def test_for_an_amount_of_neither_side_is_malformed(self, bot: Bot) -> None:
        run(bot)
        with pytest.raises(Malformed):
            self.ask(bot, quote_amount=Decimal(1))


def test_the_database_refuses_a_second_open_lifecycle_command(bot: Bot) -> None:
    command = start(bot)

    with pytest.raises(IntegrityError, match="bot_command_one_open_lifecycle"), transaction.atomic():
        BotCommand.objects.create(
            bot=bot,
            user_id=bot.user_id,
            kind="stop",
            requested_at=command.requested_at,
            expires_at=command.expires_at,
        )


def test_a_command_that_fails_to_be_announced_is_not_recorded(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> UUID:
        raise RuntimeError

    monkeypatch.setattr("apps.bots.services.commands.dispatch", fail)
    with pytest.raises(RuntimeError):
        start(bot)
    assert BotCommand.objects.count() == 0


class TestAClockThatWasSetBack:
    """Workers order the commands of a bot by their times, so these rise whatever the clock does."""

    def test_a_stop_after_it_is_later_than_the_start_before_it(self, bot: Bot) -> None:
        now = timezone.now()
        started = bot_start(bot_id=bot.id, user_id=bot.user_id, now=now)

        stopped = bot_stop(bot_id=bot.id, user_id=bot.user_id, now=now - timedelta(hours=1))

        assert stopped.requested_at > started.requested_at
        assert BotSwitch.objects.get(bot_id=bot.id).stop_requested_at == stopped.requested_at
        message = payload_of(stopped)
        assert isinstance(message, StopBot)
        assert message.requested_at == stopped.requested_at

    def test_stop_all_bars_the_runs_before_it(self, bot: Bot) -> None:
        now = timezone.now()
        started = bot_start(bot_id=bot.id, user_id=bot.user_id, now=now)

        bot_stop_all(user_id=bot.user_id, manner="stop", now=now - timedelta(hours=1))

        barred_until = BotSwitch.objects.get(bot_id=bot.id).stop_requested_at
        assert barred_until is not None
        assert barred_until > started.requested_at

    def test_a_start_after_it_is_later_than_the_stop_before_it(self, bot: Bot) -> None:
        now = timezone.now()
        bot_start(bot_id=bot.id, user_id=bot.user_id, now=now)
        stopped = bot_stop(bot_id=bot.id, user_id=bot.user_id, now=now)
        execution(stopped.id, "done")
        assert state_of(bot) == BotState.STOPPED

        started = bot_start(bot_id=bot.id, user_id=bot.user_id, now=now - timedelta(hours=1))

        assert started.requested_at > stopped.requested_at
        assert started.expires_at > started.requested_at
