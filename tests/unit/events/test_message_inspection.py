"""Which messages a process of ours can have sent."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from apps.events.brokers.rabbitmq.inspection import InboundMessage, rejection_reason
from apps.events.brokers.rabbitmq.messages import outgoing_wake_up
from apps.messages.bots import StopBot, TickBot
from tests.integration.events.test_malformed_messages import outgoing
from tests.support.malformed import SHAPES, RawMessage, as_sent

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def stop() -> StopBot:
    later = NOW + timedelta(hours=1)
    return StopBot(command_id=uuid4(), bot_id=uuid4(), user_id=uuid4(), requested_at=NOW, expires_at=later)


def inbound(message: Any, *, queue: str = "bot.stop", **headers: Any) -> InboundMessage:
    given = message.properties
    content = given.get("content_type"), given.get("content_encoding")
    body = message.body.encode() if isinstance(message.body, str) else message.body
    return InboundMessage(queue, given.get("application_headers", {}) | headers, body, *content)


def test_what_the_dispatcher_and_the_scheduler_send_has_no_fault() -> None:
    tick = TickBot(bot_id=uuid4(), run_id=uuid4(), due_at=NOW)

    assert rejection_reason(inbound(outgoing(stop()).message)) == ""
    assert rejection_reason(inbound(outgoing_wake_up(tick, expires_seconds=5).message, queue="bot.tick")) == ""


@pytest.mark.parametrize(
    "more", [{"x-attempt": 3, "x-deferrals": 2}, {"x-death": [{"time": NOW}]}, {"tracestate": "a"}]
)
def test_notes_of_the_router_and_the_broker_are_no_fault(more: dict[str, Any]) -> None:
    assert rejection_reason(inbound(outgoing(stop()).message, **more)) == ""


def test_a_version_that_is_not_known_here_is_no_fault() -> None:
    assert rejection_reason(inbound(outgoing(stop()).message, cloudEvents_schemaversion="9")) == ""


@pytest.mark.parametrize("shape", SHAPES)
def test_every_other_shape_has_a_fault_that_fits_on_a_line(shape: str) -> None:
    message = as_sent(outgoing(stop()), SHAPES[shape]).message
    if isinstance(message, RawMessage):
        message.properties = {"application_headers": {b"\xff": None}}

    fault = rejection_reason(inbound(message))

    assert 0 < len(fault) <= 300
    assert fault.isprintable()


def test_the_queue_of_a_further_subscriber_is_its_own_affair() -> None:
    assert rejection_reason(InboundMessage("auditor.news", {}, b"anything", None, None)) == ""
