"""The OpenAPI documents as a client reads them: references followed, values held against their schemas."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("user", "kraken", "paper")
METHODS = ("get", "post", "put", "patch", "delete")
MUTATIONS = ("post", "put", "patch", "delete")

Schema = dict[str, Any]


class Called(NamedTuple):
    """An operation of a document, with its place in it."""

    service: str
    method: str
    path: str
    operation: Schema

    def __str__(self) -> str:
        return f"{self.service} {self.method.upper()} {self.path}"


@cache
def document_of(service: str) -> Schema:
    """The document in docs/, which `make check` holds against the code."""
    text = (ROOT / "docs" / f"openapi-{service}.yaml").read_text()
    document: Schema = yaml.load(text, Loader=yaml.CSafeLoader)
    return document


def operations(*services: str) -> Iterator[Called]:
    """Every operation of the services; without an argument, of all that have a document."""
    for service in services or SERVICES:
        for path, methods in document_of(service)["paths"].items():
            for method in METHODS:
                if method in methods:
                    yield Called(service, method, path, methods[method])


def resolved(service: str, thing: Schema) -> Schema:
    """What a reference inside the service's document leads to; anything else as it is."""
    if "$ref" not in thing:
        return thing
    found: Any = document_of(service)
    for part in thing["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return resolved(service, found)


def problems_of(service: str, schema: Schema, value: Any) -> list[str]:
    """Why the value is not one of the schema, formats included; empty where it is."""
    registry = Registry().with_resource("urn:api", Resource.from_contents(document_of(service), DRAFT202012))
    validator = Draft202012Validator(
        _absolute(schema), registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def _absolute(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_absolute(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: f"urn:api{each}" if name == "$ref" else _absolute(each) for name, each in schema.items()}
