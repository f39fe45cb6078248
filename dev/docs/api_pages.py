"""An OpenAPI document as pages of the site: each call with its parameters, its body and its answers."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from apps.core.markdown import markdown_table

METHODS = ("get", "post", "put", "patch", "delete")


def as_markdown(path: Path, title: str) -> str:
    """The page of one service: a table of its calls, then each call. Links the document itself."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 (safe)  # nosec B506
    calls = [
        (method.upper(), url, operation)
        for url, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]
    parts = [
        f"# {title}",
        f"Written from [{path.name}](../{path.name}), the OpenAPI 3.1 document for generators of clients."
        " What holds for all calls is on the page [API](../api.md).",
        markdown_table(
            ("call", "what"),
            [(f"[`{method} {url}`](#{_anchor(operation)})", _summary(operation)) for method, url, operation in calls],
        ),
    ]
    for method, url, operation in calls:
        parts += _call(document, method, url, operation)
    return "\n\n".join(parts) + "\n"


def _anchor(operation: Mapping[str, Any]) -> str:
    return str(operation["operationId"])


def _summary(operation: Mapping[str, Any]) -> str:
    return str(operation.get("summary", "")).replace("|", "\\|")


def _call(document: Mapping[str, Any], method: str, url: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {_summary(operation) or _anchor(operation)} {{ #{_anchor(operation)} }}"
    yield f"`{method} {url}`"
    if operation.get("description"):
        yield str(operation["description"]).strip()
    parameters = [_resolved(document, each) for each in operation.get("parameters", ())]
    if parameters:
        rows = [
            (
                f"`{each['name']}`",
                f"{each['in']}{', required' if each.get('required') else ''}",
                _type(each.get("schema", {})),
                _cell(each.get("description", "")),
            )
            for each in parameters
        ]
        yield markdown_table(("parameter", "in", "type", "what"), rows)
    body = _resolved(document, operation.get("requestBody", {})).get("content", {}).get("application/json", {})
    if "schema" in body:
        yield from _fields(document, body["schema"])
    answers = [(status, _resolved(document, answer)) for status, answer in operation["responses"].items()]
    yield markdown_table(
        ("answer", "body", "when"),
        [(status, _answer_type(answer), _cell(answer.get("description", ""))) for status, answer in answers],
    )


def _fields(document: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    schema = _resolved(document, given)
    if not schema.get("properties"):
        yield f"Body: {_type(given)}"
        return
    required = schema.get("required", ())
    rows = [
        (
            f"`{name}`",
            f"{_type(field)}{', required' if name in required else ''}",
            _cell(field.get("description", "")),
        )
        for name, field in schema["properties"].items()
    ]
    yield markdown_table(("field of the body", "type", "what"), rows)


def _answer_type(answer: Mapping[str, Any]) -> str:
    content = answer.get("content", {})
    return next((_type(each.get("schema", {})) for each in content.values()), "–")


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rsplit('/', 1)[-1]}`"
    for joint in ("allOf", "oneOf", "anyOf"):
        if joint in schema:
            return " or ".join(_type(each) for each in schema[joint])
    kind = schema.get("type", "any")
    name = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if name == "array":
        return f"array of {_type(schema.get('items', {}))}"
    return f"{name} ({schema['format']})" if "format" in schema else name


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _resolved(document: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in given:
        return given
    found: Any = document
    for part in given["$ref"].removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return _resolved(document, found)
