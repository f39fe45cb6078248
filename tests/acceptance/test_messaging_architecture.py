"""Every message of the catalogue on the whole platform: sent on its real way, consumed, stored, sealed and replayed.

Half of them are published while Kafka and RabbitMQ are dead. Nothing is lost by that, and nothing is dead-lettered.
"""

import json
import signal
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from apps.messages.base import all_messages
from dev.base import processes
from tests.acceptance.catalogue import ELSEWHERE, title, titles
from tests.support.platform import ROOT, manage, running, stack
from tests.support.waiting import comes_true

pytestmark = pytest.mark.timeout(600)

WITHIN_SECONDS = 180
# The states that an execution does not leave.
ENDED = ("done", "failed", "dropped")
SCRIPT = "from tests.acceptance.catalogue import main; main()"


@dataclass
class Story:
    """What was published, and what had become of it in the end."""

    ids: dict[str, str] = field(default_factory=dict)
    fates: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Titles by source of the replay, `kafka` or `store`
    replayed: dict[str, set[str]] = field(default_factory=dict)
    published_without_brokers: list[str] = field(default_factory=list)


def ask(call: str, argument: Any) -> Any:
    done = manage("shell", "--no-imports", "-c", SCRIPT, stdin=json.dumps({call: argument}))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def kill_brokers() -> None:
    for name in ("kafka", "rabbitmq"):
        processes.stop(running(name), first=signal.SIGKILL, seconds=10.0)


def has_ended(fate: dict[str, Any]) -> bool:
    execution = fate["execution"]
    return (
        fate["is_sealed"]
        and fate["consumed"] == fate["consumers"]
        and (not fate["is_command"] or (execution is not None and execution[0] in ENDED))
    )


def replayed_ids(source: str, since: str) -> set[str]:
    done = manage("replay_events", "--operator", "test", "--source", source, "--since", since, "--jsonl", "-")
    assert done.returncode == 0, done.stderr
    return {json.loads(line)["id"] for line in done.stdout.splitlines() if line.startswith("{")}


@pytest.fixture(scope="module")
def story(platform_url: str) -> Story:
    told, began = Story(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    everything = titles()
    told.ids |= ask("send", everything[::2])
    kill_brokers()
    try:
        told.published_without_brokers = everything[1::2]
        told.ids |= ask("send", everything[1::2])
    finally:
        stack("servers")

    def all_have_ended() -> bool:
        told.fates = ask("fate", told.ids)
        return all(map(has_ended, told.fates.values()))

    # What has not ended by then fails its own test.
    comes_true(all_have_ended, seconds=WITHIN_SECONDS)
    for source in ("kafka", "store"):
        found = replayed_ids(source, began)
        told.replayed[source] = {name for name, event_id in told.ids.items() if event_id in found}
    return told


def test_half_of_the_catalogue_was_published_while_the_brokers_were_dead(story: Story) -> None:
    assert len(story.published_without_brokers) == len(titles()) // 2
    assert story.ids.keys() | ELSEWHERE.keys() == set(map(title, all_messages()))
    for name, path in ELSEWHERE.items():
        assert name.rpartition(".v")[0] in (ROOT / path).read_text()


@pytest.mark.parametrize("name", titles())
def test_a_message_arrives_at_everybody_who_is_to_have_it(story: Story, name: str) -> None:
    fate = story.fates[name]

    assert fate["dead_letter"] is None
    assert fate["consumed"] == fate["consumers"]
    if fate["is_command"]:
        assert fate["execution"] is not None
        assert fate["execution"][0] in ENDED, fate["execution"]


@pytest.mark.parametrize("name", titles())
def test_a_message_is_stored_sealed_and_can_be_replayed(story: Story, name: str) -> None:
    assert story.fates[name]["is_stored"]
    assert story.fates[name]["is_sealed"]
    assert name in story.replayed["store"]
    assert name in story.replayed["kafka"]
