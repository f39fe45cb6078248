"""The payload schemas of all messages (JSON Schema 2020-12), frozen in the files of this folder.

A published file never changes: another schema needs another version of its message. Descriptions are part of it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apps.messages.base import Message, all_messages

SCHEMA_FOLDER = Path(__file__).parent

Json = dict[str, Any]


def schema_of(message: type[Message]) -> Json:
    """The JSON Schema (2020-12) of a message's payload."""
    return message.model_json_schema(mode="serialization")


def schema_path(message: type[Message]) -> Path:
    return SCHEMA_FOLDER / f"{message.declaration.name}.v{message.declaration.version}.json"


def changed_shapes() -> Iterator[str]:
    """One sentence for each message class that does not match its frozen schema."""
    for message in all_messages():
        path = schema_path(message)
        if not path.exists():
            yield f"{path.name} is missing: freeze the shape with `manage.py check_contracts --write`."
        elif json.loads(path.read_text()) != schema_of(message):
            name = f"{message.declaration.name} v{message.declaration.version}"
            yield f"{name} is not what was published: give the new shape a new version."


def freeze_new_shapes() -> None:
    """Writes the schemas of messages that have none. An existing file is never rewritten."""
    for message in all_messages():
        path = schema_path(message)
        if not path.exists():
            path.write_text(json.dumps(schema_of(message), indent=2, sort_keys=True) + "\n")
