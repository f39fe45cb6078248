"""Handlers say what they listen to, and a mistake is told when they say it."""

import pytest

from apps.events.consumers import registry
from apps.events.consumers.registry import DuplicateHandler, consumes, consumes_batch, groups, handlers_for, topics_of
from apps.messages.base import Transport
from apps.messages.bots import BotStarted, StartBot
from apps.messages.envelope import Envelope
from apps.messages.trading import BotTradeExecuted, TradeExecuted
from apps.messages.user import UserCreated, UserUpdated


@pytest.fixture(autouse=True)
def _empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


def _user_created(message: UserCreated, envelope: Envelope) -> None: ...


def _anything(message: object, envelope: Envelope) -> None: ...


def _batch(batch: object) -> None: ...


def test_a_handler_is_found_by_group_name_and_version() -> None:
    consumes(UserCreated, group="g")(_user_created)

    assert handlers_for("g") == {("user.created", 1): _user_created}
    assert handlers_for("another") == {}
    assert groups() == ["g"]


def test_one_handler_may_listen_to_several_messages() -> None:
    consumes(UserCreated, UserUpdated, BotStarted, group="g")(_anything)

    assert set(handlers_for("g")) == {("user.created", 1), ("user.updated", 1), ("bot.started", 1)}


def test_a_group_reads_the_topics_of_its_events_and_not_the_queues_of_its_status_messages() -> None:
    consumes(UserCreated, BotTradeExecuted, TradeExecuted, BotStarted, group="g")(_anything)

    assert topics_of("g") == ["trading.events", "user.events"]


def test_a_group_of_status_messages_alone_reads_no_topic() -> None:
    consumes(BotStarted, group="g")(_anything)

    assert topics_of("g") == []


def test_a_group_that_reads_the_journal_gets_status_messages_from_kafka_and_has_no_queue() -> None:
    consumes_batch(BotStarted, group="g", from_journal=True)(_batch)

    assert topics_of("g") == ["trading.events"]
    assert handlers_for("g", transport=Transport.KAFKA) == {("bot.started", 1): _batch}
    assert handlers_for("g", transport=Transport.RABBITMQ) == {}


def test_two_handlers_of_one_message_in_one_group_are_a_mistake() -> None:
    consumes(UserCreated, group="g")(_user_created)
    consumes(UserCreated, group="another")(_anything)

    with pytest.raises(DuplicateHandler, match=r"user\.created has two handlers in g"):
        consumes(UserCreated, group="g")(_anything)


def test_importing_the_same_handler_twice_is_no_mistake() -> None:
    consumes(UserCreated, group="g")(_user_created)
    consumes(UserCreated, group="g")(_user_created)


def test_a_command_is_not_consumed_in_a_group() -> None:
    with pytest.raises(TypeError, match="StartBot is neither an Event nor a Status"):
        consumes(StartBot, group="g")
