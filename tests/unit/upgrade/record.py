"""Writes what a release publishes and which migrations it has: run once a release, in its checkout.

`SERVICE=staff MUCKARD_ENVIRONMENT=test PYTHONPATH=.:platform python tests/unit/upgrade/record.py FOLDER`

Tests compare the code of today with the files until the release after it is out.
"""

import hashlib
import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

ID = "0193a4c0-6b5e-7c3a-9d2f-1b6f0f3a5e21"
MOMENT = "2026-03-01T12:00:00Z"
OF_FORMAT = {"uuid": ID, "date-time": MOMENT, "date": "2026-03-01", "duration": "PT5S"}


def sample(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:  # noqa: PLR0911 -- a case a kind of schema
    """A value of a JSON Schema, always the same."""
    if "$ref" in schema:
        return sample(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], definitions)
    match schema.get("type"):
        case "object":
            names = schema.get("properties", {})
            return {name: sample(each, definitions) for name, each in names.items()}
        case "array":
            return [sample(schema["items"], definitions)] if "items" in schema else []
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
        case "string" if "pattern" in schema:
            return "1.5"
        case "string":
            return OF_FORMAT.get(schema.get("format", ""), "text".ljust(schema.get("minLength", 0), "x"))
    return None


def messages() -> list[dict[str, Any]]:
    """Each message as it lies in Kafka: payload, headers, and the digest of its published schema."""
    from apps.events.brokers.rabbitmq.headers import headers_of
    from apps.messages import schemas
    from apps.messages.base import all_messages
    from tests.support.envelopes import envelope_of, kafka_headers_of

    found = []
    for message in sorted(all_messages(), key=lambda each: (each.declaration.name, each.declaration.version)):
        declared = message.declaration
        name = f"{declared.name}.v{declared.version}.json"
        text = (Path(schemas.__file__).parent / name).read_text(encoding="utf-8")
        schema = message.model_json_schema()
        payload = message.model_validate(sample(schema, schema.get("$defs", {})))
        envelope = replace(
            envelope_of(payload, UUID(ID), occurred_at=datetime(2026, 3, 1, 12, tzinfo=UTC)),
            schema_version=declared.version,
            aggregate_type=declared.aggregate,
            correlation_id=UUID(ID),
        )
        found.append(
            {
                "name": declared.name,
                "version": declared.version,
                "destination": declared.destination,
                "schema_sha256": hashlib.sha256(text.encode()).hexdigest(),
                "kafka_headers": {key: value.decode() for key, value in kafka_headers_of(envelope)},
                "amqp_headers": headers_of(envelope),
                "payload": envelope.payload.decode(),
            }
        )
    return found


def migrations() -> list[str]:
    from django.db.migrations.loader import MigrationLoader

    return sorted(f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations if app in OWN_APPS)


OWN_APPS = frozenset(
    (
        "accounts",
        "audit",
        "bots",
        "core",
        "events",
        "exchange",
        "market",
        "onboarding",
        "paper",
        "risk",
        "trading",
        "vault",
    )
)


def main() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "staff_site.settings")
    django.setup()
    folder = Path(sys.argv[1])
    for name, content in (("messages", messages()), ("migrations", migrations())):
        lines = ",\n".join(json.dumps(each) for each in content)
        (folder / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
