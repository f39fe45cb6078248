"""Definitions of bots: refusals, new versions, immutable fields."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from apps.bots.consumers import READ_MODELS
from apps.bots.errors import (
    BotChangedMeanwhile,
    BotInUse,
    BotNotFound,
    BudgetTooSmall,
    CredentialNotActive,
    UnknownCredential,
    UnknownPair,
    WrongMode,
)
from apps.bots.models import Bot, BotCommand
from apps.bots.selectors.bots import bot_get, bot_list
from apps.bots.services.commands import bot_start
from apps.bots.services.definitions import bot_create, bot_delete, bot_update
from apps.core.errors import FieldIsImmutable
from apps.core.terms import Mode
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.store.selectors import event_get
from apps.messages.bots import StopDeletedBot
from apps.strategies.base import InvalidParameters, UnknownStrategy
from tests.factories.bots import Story, TraderClient
from tests.integration.bots.conftest import World
from tests.integration.bots.executions import execution

pytestmark = pytest.mark.django_db

load_consumers()


def create(world: World, user_id: Any, **fields: Any) -> Bot:
    given: dict[str, Any] = {
        "name": "Follower",
        "pair": "XBTUSD",
        "strategy": "sma_cross",
        "parameters": {"fast": 3},
        "interval_minutes": 60,
        "quote_budget": Decimal(100),
        **fields,
    }
    given.setdefault("credential_id", world.add_key(user_id))
    return bot_create(user_id=user_id, now=timezone.now(), **given)


def update(bot: Bot, *, expected_version: int | None = None, changes: dict[str, Any] | None = None, **more: Any) -> Bot:
    return bot_update(
        bot_id=bot.id,
        user_id=bot.user_id,
        changes={**(changes or {}), **more},
        now=timezone.now(),
        expected_version=expected_version,
    )


class TestCreate:
    def test_fills_in_the_parameters_and_takes_the_keys_mode(
        self, world: World, trader: TraderClient, live_trading_on: None
    ) -> None:
        credential_id = world.add_key(trader.user_id, mode=Mode.LIVE)
        bot = create(world, trader.user_id, credential_id=credential_id)

        bot.refresh_from_db()
        assert bot.parameters == {"fast": 3, "slow": 20, "enter_on_start": True}
        assert (bot.mode, bot.version, bot.deleted_at) == ("live", 1, None)

    def test_with_another_users_key_is_refused_like_one_that_is_not_there(
        self, world: World, trader: TraderClient
    ) -> None:
        anothers = world.add_key(uuid4())
        messages = set()
        for credential_id in (anothers, uuid4()):
            with pytest.raises(UnknownCredential) as refused:
                create(world, trader.user_id, credential_id=credential_id)
            messages.add(refused.value.message)
        assert len(messages) == 1
        assert Bot.objects.count() == 0

    @pytest.mark.parametrize(("mode", "key_mode"), [("paper", "live"), ("live", "paper")])
    def test_of_one_mode_with_a_key_of_the_other_is_refused(
        self, world: World, trader: TraderClient, mode: str, key_mode: Any
    ) -> None:
        with pytest.raises(WrongMode):
            create(world, trader.user_id, mode=mode, credential_id=world.add_key(trader.user_id, mode=key_mode))

    def test_with_a_key_that_is_not_active_is_refused(self, world: World, trader: TraderClient) -> None:
        with pytest.raises(CredentialNotActive):
            create(world, trader.user_id, credential_id=world.add_key(trader.user_id, is_active=False))

    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            ({"pair": "NOPEUSD"}, UnknownPair),
            ({"strategy": "martingale"}, UnknownStrategy),
            ({"parameters": {"fast": 30}}, InvalidParameters),
            ({"quote_budget": Decimal("0.49")}, BudgetTooSmall),
            ({"strategy": "dca", "parameters": {"quote_amount": "101"}}, BudgetTooSmall),
            ({"strategy": "dca", "parameters": {"quote_amount": "0.4"}}, BudgetTooSmall),
        ],
    )
    def test_what_no_bot_could_trade_with_is_refused(
        self, world: World, trader: TraderClient, fields: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            create(world, trader.user_id, **fields)
        assert Bot.objects.count() == 0

    def test_a_budget_of_exactly_the_smallest_order_is_enough(self, world: World, trader: TraderClient) -> None:
        assert create(world, trader.user_id, quote_budget=Decimal("0.5")).quote_budget == Decimal("0.5")


class TestUpdate:
    def test_makes_a_new_version(self, bot: Bot) -> None:
        updated = update(bot, name="Renamed", parameters={"fast": 2, "slow": 9})

        updated.refresh_from_db()
        assert (updated.name, updated.version) == ("Renamed", 2)
        assert updated.parameters == {"fast": 2, "slow": 9, "enter_on_start": True}
        assert updated.updated_at > bot.updated_at

    def test_that_changes_nothing_makes_no_version(self, bot: Bot) -> None:
        updated = update(bot, name=bot.name, parameters={"fast": 5}, quote_budget=Decimal("1000.00"))

        assert (updated.version, updated.updated_at) == (1, bot.updated_at)

    def test_of_the_strategy_takes_its_defaults(self, bot: Bot) -> None:
        assert update(bot, strategy="breakout").parameters == {"window": 20}

    def test_of_the_strategy_to_one_that_needs_parameters_is_refused_without_them(self, bot: Bot) -> None:
        with pytest.raises(InvalidParameters):
            update(bot, strategy="dca")

    def test_of_the_mode_is_refused(self, bot: Bot) -> None:
        with pytest.raises(FieldIsImmutable):
            update(bot, changes={"mode": "live", "name": "Renamed"})
        bot.refresh_from_db()
        assert (bot.version, bot.name) != (2, "Renamed")

    def test_of_key_and_pair_is_possible_until_the_first_start(self, world: World, bot: Bot) -> None:
        world.pairs["paper", "ETHUSD"] = replace(world.pairs["paper", "XBTUSD"], pair="ETHUSD")
        credential_id = world.add_key(bot.user_id)
        updated = update(bot, pair="ETHUSD", credential_id=credential_id)
        updated.refresh_from_db()
        assert (updated.pair, updated.credential_id, updated.version) == ("ETHUSD", credential_id, 2)

    @pytest.mark.parametrize("outcome", ["done", "failed", "dropped"])
    @pytest.mark.parametrize("field", ["pair", "credential_id"])
    def test_of_key_or_pair_after_a_start_is_refused_and_names_the_way(
        self, world: World, bot: Bot, field: str, outcome: str
    ) -> None:
        world.pairs["paper", "ETHUSD"] = replace(world.pairs["paper", "XBTUSD"], pair="ETHUSD")
        value = "ETHUSD" if field == "pair" else world.add_key(bot.user_id)
        execution(bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now()).id, outcome)
        with pytest.raises(FieldIsImmutable) as refused:
            update(bot, changes={field: value, "name": "Renamed"})
        clone = f"/api/v1/bot/{bot.id}/clone"
        assert refused.value.details.items() >= {"field": field, "clone": clone}.items()
        assert clone in refused.value.details["how"]
        bot.refresh_from_db()
        assert (bot.version, bot.pair) == (1, "XBTUSD")
        assert bot.name != "Renamed"
        with pytest.raises(DatabaseError, match="once it has run"), transaction.atomic():
            Bot.objects.filter(id=bot.id).update(**{field: value})

    def test_to_the_key_and_pair_that_it_has_is_no_change(self, bot: Bot) -> None:
        bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())
        assert update(bot, pair="XBTUSD", credential_id=bot.credential_id).version == 1

    def test_to_the_mode_that_it_has_is_no_change(self, bot: Bot) -> None:
        assert update(bot, mode="paper", pair="XBTUSD").version == 1

    def test_to_a_key_of_the_other_mode_is_refused(self, world: World, bot: Bot) -> None:
        with pytest.raises(WrongMode):
            update(bot, credential_id=world.add_key(bot.user_id, mode=Mode.LIVE))

    def test_for_a_version_that_is_no_longer_the_latest_is_a_conflict(self, bot: Bot) -> None:
        update(bot, expected_version=1, name="First")

        with pytest.raises(BotChangedMeanwhile):
            update(bot, expected_version=1, name="Second")
        bot.refresh_from_db()
        assert bot.name == "First"

    def test_of_another_users_bot_is_not_found(self, bot: Bot) -> None:
        with pytest.raises(BotNotFound):
            bot_update(bot_id=bot.id, user_id=uuid4(), changes={"name": "Mine"}, now=timezone.now())

    def test_leaves_the_command_of_a_running_bot_as_it_was(self, bot: Bot) -> None:
        command = bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())
        update(bot, quote_budget=Decimal(5))

        envelope = event_get(event_id=command.id)
        assert envelope is not None
        message: Any = envelope.message()
        assert (message.config.quote_budget, message.config.version) == (Decimal(1000), 1)


class TestDelete:
    def test_hides_the_bot_and_keeps_its_row(self, bot: Bot) -> None:
        bot_delete(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())

        assert list(bot_list(user_id=bot.user_id)) == []
        with pytest.raises(BotNotFound):
            bot_get(bot_id=bot.id, user_id=bot.user_id)
        assert Bot.objects.get(id=bot.id).deleted_at is not None

    def test_of_a_deleted_bot_is_not_found(self, bot: Bot) -> None:
        bot_delete(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())
        with pytest.raises(BotNotFound):
            bot_delete(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())

    def test_is_refused_while_a_start_is_under_way(self, bot: Bot) -> None:
        bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())
        with pytest.raises(BotInUse, match="starting"):
            bot_delete(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())

    def test_is_refused_while_it_runs(self, bot: Bot) -> None:
        deliver(Story(bot_id=bot.id, user_id=bot.user_id).started(), group=READ_MODELS)
        with pytest.raises(BotInUse, match="running"):
            bot_delete(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())

    def test_is_refused_while_orders_are_open_on_the_exchange(self, bot: Bot) -> None:
        story = Story(bot_id=bot.id, user_id=bot.user_id)
        deliver(story.started(), group=READ_MODELS)
        order_id = uuid4()
        deliver(story.order("open", order_id=order_id, client_order_id="mk-1"), group=READ_MODELS)
        deliver(story.stopped(manner="pause", open_orders=("mk-1",)), group=READ_MODELS)

        with pytest.raises(BotInUse) as refused:
            bot_delete(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())
        assert refused.value.details == {"open_orders": ["mk-1"]}

        deliver(story.order("canceled", order_id=order_id), group=READ_MODELS)
        bot_delete(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())

    def test_is_possible_again_after_a_start_that_failed(self, bot: Bot) -> None:
        execution(bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now()).id, "failed")
        bot_delete(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())

    def test_overrules_a_start_that_somebody_may_send_again(self, bot: Bot) -> None:
        start = bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())
        execution(start.id, "failed")

        bot_delete(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())

        [stop] = BotCommand.objects.filter(bot=bot, kind="stop")
        envelope = event_get(event_id=stop.id)
        assert envelope is not None
        message: Any = envelope.message()
        assert (message.bot_id, message.manner) == (bot.id, "stop")
        assert message.requested_at > start.requested_at

    def test_tells_the_workers_also_of_a_bot_that_was_never_started(self, bot: Bot) -> None:
        now = timezone.now()
        bot_delete(bot_id=bot.id, user_id=bot.user_id, now=now)

        [stop] = BotCommand.objects.filter(bot=bot)
        envelope = event_get(event_id=stop.id)
        assert envelope is not None
        message = envelope.message()
        assert isinstance(message, StopDeletedBot)
        assert (message.manner, message.deleted_at) == ("stop", now)
        # However long no worker is available.
        assert message.expires_at - now > timedelta(days=365)


@pytest.mark.parametrize("change", [{"mode": "live"}, {"user_id": uuid4()}])
def test_the_database_refuses_to_change_what_never_changes(bot: Bot, change: dict[str, Any]) -> None:
    with pytest.raises(DatabaseError, match="never change"), transaction.atomic():
        Bot.objects.filter(id=bot.id).update(**change)


@pytest.mark.parametrize(
    "wrong", [{"quote_budget": Decimal(0)}, {"mode": "demo"}, {"interval_minutes": 7}, {"name": ""}, {"version": 0}]
)
def test_the_database_refuses_a_definition_that_makes_no_sense(bot: Bot, wrong: dict[str, Any]) -> None:
    from tests.factories.bots import BotFactory

    with pytest.raises(DatabaseError), transaction.atomic():
        BotFactory.create(**wrong)
