"""Two releases side by side: what each publishes the other consumes, and migrations leave the older one its tables.

recorded/ is of the release before (record.py writes it).
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from apps.events.brokers.rabbitmq.headers import envelope_from, headers_of
from apps.messages import schemas
from apps.messages.base import all_messages, message_class
from apps.messages.cloud_events import from_kafka
from tests.support.envelopes import kafka_headers_of
from tests.unit.upgrade.migration_rules import broken_rules
from tests.unit.upgrade.record import OWN_APPS

FOLDER = Path(__file__).parent / "recorded"
MESSAGES: list[dict[str, Any]] = json.loads((FOLDER / "messages.json").read_text(encoding="utf-8"))
MIGRATIONS: list[str] = json.loads((FOLDER / "migrations.json").read_text(encoding="utf-8"))
# A migration that breaks a rule and is safe for a reason of its own: the reason
ALLOWED: dict[str, str] = {}


def name(recorded: dict[str, Any]) -> str:
    return f"{recorded['name']}.v{recorded['version']}"


@pytest.mark.parametrize("recorded", MESSAGES, ids=name)
def test_a_message_of_the_release_before_is_consumed(recorded: dict[str, Any]) -> None:
    payload = recorded["payload"].encode()
    headers = [(key, value.encode()) for key, value in recorded["kafka_headers"].items()]

    for envelope in (from_kafka(headers, payload), envelope_from(recorded["amqp_headers"], payload)):
        assert (envelope.event_type, envelope.schema_version) == (recorded["name"], recorded["version"])
        message = envelope.message()
        assert message.declaration.destination == recorded["destination"]


@pytest.mark.parametrize("recorded", MESSAGES, ids=name)
def test_the_release_before_consumes_the_same_message_of_this_one(recorded: dict[str, Any]) -> None:
    payload = recorded["payload"].encode()
    envelope = envelope_from(recorded["amqp_headers"], payload)

    # Byte for byte what the release before wrote: it refuses fields that it does not know.
    assert envelope.message().canonical_bytes() == payload
    # It reads the headers that it knows, and ignores others.
    assert dict(headers_of(envelope)).items() >= recorded["amqp_headers"].items()
    kafka = {key: value.decode() for key, value in kafka_headers_of(envelope)}
    assert kafka.items() >= recorded["kafka_headers"].items()


@pytest.mark.parametrize("recorded", MESSAGES, ids=name)
def test_the_schema_of_the_release_before_is_the_published_one(recorded: dict[str, Any]) -> None:
    file = Path(schemas.__file__).parent / f"{name(recorded)}.json"

    assert hashlib.sha256(file.read_bytes()).hexdigest() == recorded["schema_sha256"]


def test_no_message_of_the_release_before_has_gone() -> None:
    today = {(each.declaration.name, each.declaration.version) for each in all_messages()}

    assert {(each["name"], each["version"]) for each in MESSAGES} <= today
    assert message_class("bot.start", 1)


def test_no_migration_of_the_release_before_has_gone_and_none_since_takes_its_columns() -> None:
    loader = MigrationLoader(None)
    own = {f"{app}.{label}": (app, label) for app, label in loader.disk_migrations if app in OWN_APPS}
    assert set(MIGRATIONS) <= own.keys()
    found = {}
    for title in sorted(own.keys() - set(MIGRATIONS)):
        before = loader.project_state(own[title], at_end=False)
        if sentences := list(broken_rules(loader.disk_migrations[own[title]], before)):
            found[title] = sentences

    assert found.keys() == ALLOWED.keys(), found


def migration_of(*operations: Any) -> migrations.Migration:
    next_one = type("Migration", (migrations.Migration,), {"operations": list(operations)})
    migration: migrations.Migration = next_one("0002_next", "bots")
    return migration


def state_of(*fields: tuple[str, "models.Field[Any, Any]"]) -> ProjectState:
    state = ProjectState()
    state.add_model(ModelState("bots", "Bot", [("id", models.BigAutoField(primary_key=True)), *fields]))
    return state


@pytest.mark.parametrize(
    ("operation", "sentence"),
    [
        (migrations.RemoveField("bot", "name"), "drops the column bot.name"),
        (migrations.RenameField("bot", "name", "title"), "renames the column bot.name"),
        (migrations.DeleteModel("Bot"), "drops the table of Bot"),
        (migrations.RenameModel("Bot", "Robot"), "renames the table of Bot"),
        (migrations.AddField("bot", "pair", models.TextField(default="XBT/USD")), "insert no bot.pair"),
        (migrations.AlterField("bot", "name", models.TextField()), "leave bot.name empty"),
        (migrations.RunSQL("ALTER TABLE bots_bot DROP COLUMN name"), "DROP COLUMN"),
        (migrations.RunSQL(["ALTER TABLE bots_bot ALTER COLUMN name SET NOT NULL"]), "SET NOT NULL"),
    ],
)  # fmt: skip
def test_what_an_older_process_would_not_survive_is_named(operation: Any, sentence: str) -> None:
    migration = migration_of(operation)

    (found,) = broken_rules(migration, state_of(("name", models.TextField(null=True))))

    assert sentence in found


def test_what_an_older_process_does_not_notice_is_allowed() -> None:
    migration = migration_of(
        migrations.AddField("bot", "pair", models.TextField(db_default="XBT/USD")),
        migrations.AddField("bot", "note", models.TextField(null=True)),
        migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True))]),
        migrations.AddField("note", "text", models.TextField(default="")),
        migrations.RunSQL("CREATE INDEX bots_bot_name ON bots_bot (name)"),
    )

    assert list(broken_rules(migration, state_of(("name", models.TextField(null=True))))) == []
