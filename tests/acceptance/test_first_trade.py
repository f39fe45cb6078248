"""From registering to the first trade and back, over HTTP through the gateway; then the proof in Kafka and the log."""

import json
from typing import Any
from uuid import uuid4

import pytest

from apps.ops.walk.client import PlatformClient
from apps.ops.walk.steps import Narrator, Walked, walk
from tests.running_platform import manage, profile_folder

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def walked(platform_url: str) -> Walked:
    email = f"{uuid4().hex}@example.com"
    client = PlatformClient(platform_url)
    return walk(
        client, Narrator(print), email=email, password="correct horse battery staple", trades=2, at_most_seconds=60
    )


def _from_kafka(bot_id: str) -> list[dict[str, Any]]:
    result = manage("replay_events", "--source", "kafka", "--aggregate", f"bot:{bot_id}", "--jsonl", "-")
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_bot_trades_and_ends_stopped(walked: Walked) -> None:
    assert walked.status["state"] == "stopped"
    assert {trade["side"] for trade in walked.trades} <= {"buy", "sell"}
    assert len(walked.trades) >= 2


def test_every_trade_of_the_api_lies_in_kafka_once(walked: Walked) -> None:
    trades = [
        event["data"]["trade_id"] for event in _from_kafka(walked.bot["id"]) if event["type"] == "bot.trade.executed"
    ]

    assert len(trades) == len(set(trades))
    assert set(trades) == {trade["trade_id"] for trade in walked.trades}


def test_the_bot_s_events_in_kafka_are_in_order(walked: Walked) -> None:
    sequences = [int(event["sequence"]) for event in _from_kafka(walked.bot["id"])]

    assert sequences == sorted(set(sequences))


def test_the_whole_story_is_in_the_event_store(walked: Walked) -> None:
    result = manage("replay_events", "--source", "store", "--aggregate", f"bot:{walked.bot['id']}", "--jsonl", "-")
    types = [json.loads(line)["type"] for line in result.stdout.splitlines()]

    assert types[:2] == ["bot.start", "bot.started"]
    assert types[-2:] == ["bot.stop", "bot.stopped"]
    assert "bot.trade.executed" in types


def test_the_event_store_is_whole(walked: Walked) -> None:
    result = manage("audit_verify")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "The event store is whole." in result.stdout


def test_no_secret_is_in_any_log(walked: Walked) -> None:
    """Every secret of the profile, searched for in every line that the platform's processes have written."""
    folder = profile_folder()
    secrets = [path.read_text().strip() for path in (folder / "secrets").rglob("*") if path.is_file()]
    secrets = [secret for secret in secrets if len(secret) >= 16 and "PUBLIC" not in secret]
    assert secrets
    for log in (folder / "logs").rglob("*.log"):
        text = log.read_text(errors="replace")
        found = [secret[:4] for secret in secrets if secret in text]
        assert not found, f"{log.name} shows a secret"
