"""From registering to the first trade and back, over HTTP through the gateway; then the proof in Kafka and the log."""

import json
import os
from typing import Any
from uuid import uuid4

import pytest

from apps.ops.smoke_test.client import PlatformClient
from apps.ops.smoke_test.steps import Narrator, Outcome, smoke_test
from tests.support.platform import manage, profile_folder

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def outcome(platform_url: str) -> Outcome:
    email = f"{uuid4().hex}@example.com"
    client = PlatformClient(platform_url)
    return smoke_test(
        client,
        Narrator(print),
        exchange_url=os.environ["MUCKARD_PAPER_EXCHANGE_URL"],
        email=email,
        password="correct horse battery staple",
        trades=2,
        at_most_seconds=60,
    )


def _from_kafka(bot_id: str) -> list[dict[str, Any]]:
    result = manage("replay_events", "--source", "kafka", "--aggregate", f"bot:{bot_id}", "--jsonl", "-")
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_bot_trades_and_ends_stopped(outcome: Outcome) -> None:
    assert outcome.status["state"] == "stopped"
    assert {trade["side"] for trade in outcome.trades} <= {"buy", "sell"}
    assert len(outcome.trades) >= 2


def test_every_trade_of_the_api_lies_in_kafka_once(outcome: Outcome) -> None:
    trades = [
        event["data"]["trade_id"] for event in _from_kafka(outcome.bot["id"]) if event["type"] == "bot.trade.executed"
    ]

    assert len(trades) == len(set(trades))
    assert set(trades) == {trade["trade_id"] for trade in outcome.trades}


def test_the_bot_s_events_in_kafka_are_in_order(outcome: Outcome) -> None:
    sequences = [int(event["sequence"]) for event in _from_kafka(outcome.bot["id"])]

    assert sequences == sorted(set(sequences))


def test_the_whole_story_is_in_the_event_store(outcome: Outcome) -> None:
    result = manage("replay_events", "--source", "store", "--aggregate", f"bot:{outcome.bot['id']}", "--jsonl", "-")
    types = [json.loads(line)["type"] for line in result.stdout.splitlines()]

    assert types[:3] == ["bot.created", "bot.start", "bot.started"]
    assert types[-1] == "bot.stopped"
    # An order that is under way when the stop is asked for still ends in between.
    assert types.index("bot.trade.executed") < types.index("bot.stop") < types.index("bot.stopped")


def test_the_event_store_is_whole(outcome: Outcome) -> None:
    result = manage("audit_verify")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "The event store is whole." in result.stdout


def test_no_secret_is_in_any_log(outcome: Outcome) -> None:
    """Every secret of the profile, searched for in every line that the platform's processes have written."""
    folder = profile_folder()
    secrets = [path.read_text().strip() for path in (folder / "secrets").rglob("*") if path.is_file()]
    secrets = [secret for secret in secrets if len(secret) >= 16 and "PUBLIC" not in secret]
    assert secrets
    for log in (folder / "logs").rglob("*.log"):
        text = log.read_text(errors="replace")
        found = [secret[:4] for secret in secrets if secret in text]
        assert not found, f"{log.name} shows a secret"
