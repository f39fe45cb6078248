"""Adding a message is adding one class: everything else is derived from it, or written by a command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apps.messages.base import Event
from tests.support.relaying import ROOT

CLASSES = """
from uuid import UUID
from apps.messages.base import Command, Event
from apps.messages.topics import TRADING_EVENTS, USER_EVENTS

class UserDeleted(Event, name="user.deleted", topic=USER_EVENTS.name, aggregate="user", key="user_id"):
    user_id: UUID

class PauseBot(Command, name="bot.pause", aggregate="bot", key="bot_id", journal=TRADING_EVENTS.name):
    bot_id: UUID
"""

# In a process of its own, because the registry of messages is global.
PROGRAM = """
import json, pathlib, sys
import apps.messages
apps.messages.__path__.append(sys.argv[1])
import django; django.setup()
from apps.events.brokers import asyncapi
from apps.events.brokers.topology import rabbitmq
from apps.events.commands.worker.consumer import task_queues
from apps.messages import schemas
missing = list(schemas.changed_shapes())
schemas.SCHEMA_FOLDER = pathlib.Path(sys.argv[2])
schemas.freeze_new_shapes()
document = asyncapi.asyncapi_document()
print(json.dumps({
    "missing": missing,
    "changed": list(schemas.changed_shapes()),
    "operations": list(document["operations"]),
    "user.events": list(document["channels"]["user.events"]["messages"]),
    "queues": [queue.name for queue in rabbitmq.queues()],
    "worker": [queue.name for queue in task_queues()],
}))
"""


def test_a_new_class_is_published_documented_and_frozen_without_touching_another_file(tmp_path: Path) -> None:
    modules, frozen = tmp_path / "messages", tmp_path / "schemas"
    modules.mkdir()
    frozen.mkdir()
    (modules / "added.py").write_text(CLASSES)
    environment = {
        **os.environ, "DJANGO_SETTINGS_MODULE": "staff_site.settings", "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"
    }  # fmt: skip

    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(modules), str(frozen)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert [text.split(" ")[0] for text in found["missing"]] == ["bot.pause.v1.json", "user.deleted.v1.json"]
    assert found["changed"] == []
    assert {path.name for path in frozen.iterdir()} >= {"bot.pause.v1.json", "user.deleted.v1.json"}
    assert {"publish.user.deleted.v1", "publish.bot.pause.v1"} <= set(found["operations"])
    assert "user.deleted.v1" in found["user.events"]
    assert {"bot.pause", "bot.pause.dlq"} <= set(found["queues"])
    assert "bot.pause" in found["worker"]


def test_an_event_of_a_topic_that_is_not_declared_is_refused() -> None:
    with pytest.raises(TypeError, match=r"names the topic 'user.evnts': declare it in topics.py"):

        class _Misspelled(Event, name="test.misspelled", topic="user.evnts", aggregate="user", key="user_id"):
            user_id: str
