"""The OpenAPI documents are what a generator of clients needs: valid, complete, with examples that are true."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.support.openapi import MUTATIONS, SERVICES, Called, document_of, operations, problems_of, resolved

ROOT = Path(__file__).resolve().parents[3]
# Whose code a request can reach in each service.
APPS = {
    "user": ("core", "accounts", "onboarding"),
    "kraken": ("core", "exchange", "risk", "vault", "market", "bots", "strategies"),
}
# Of management commands: no request is answered with it.
OF_COMMANDS = {"key_has_ended"}
EVERY_OPERATION = [pytest.param(called, id=str(called)) for called in operations()]


@pytest.mark.parametrize("service", SERVICES)
def test_the_document_is_valid_openapi_3_1(service: str) -> None:
    document = document_of(service)
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


@pytest.mark.parametrize("service", SERVICES)
def test_operations_have_names_of_their_own_that_can_be_names_in_code(service: str) -> None:
    names = [called.operation["operationId"] for called in operations(service)]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_gateway_is_named_as_the_server(service: str) -> None:
    assert [server["url"] for server in document_of(service)["servers"]] == ["/", "http://127.0.0.1:8080"]


@pytest.mark.parametrize("called", EVERY_OPERATION)
def test_an_operation_has_a_short_summary(called: Called) -> None:
    assert 3 <= len(called.operation.get("summary", "")) <= 120


@pytest.mark.parametrize("called", EVERY_OPERATION)
def test_a_mutation_takes_an_idempotency_key_and_a_read_does_not(called: Called) -> None:
    names = [resolved(called.service, each)["name"] for each in called.operation.get("parameters", ())]
    assert ("Idempotency-Key" in names) is (called.method in MUTATIONS)


@pytest.mark.parametrize("called", EVERY_OPERATION)
def test_the_statuses_that_server_and_gateway_give_are_named(called: Called) -> None:
    named = set(called.operation["responses"])
    assert {"400", "405", "406", "413", "414", "415", "429", "431", "503"} <= named
    assert ("401" in named) or "security" not in called.operation
    assert ("404" in named) or "{" not in called.path


@pytest.mark.parametrize("called", EVERY_OPERATION)
def test_every_answer_names_its_headers(called: Called) -> None:
    for status, response in called.operation["responses"].items():
        headers = resolved(called.service, response).get("headers", {}).keys()
        assert "X-Request-ID" in headers
        if status in ("429", "503"):
            assert "Retry-After" in headers
        if status == "201" and called.path != "/api/v1/auth/register" and called.service != "paper":
            assert "Location" in headers


@pytest.mark.parametrize("called", EVERY_OPERATION)
def test_examples_are_of_their_schemas(called: Called) -> None:
    for media in media_of(called):
        if media["schema"].get("format") == "binary":
            continue  # an archive is not shown as text
        values = [media["example"]] if "example" in media else [each["value"] for each in media["examples"].values()]
        assert values
        assert [problems_of(called.service, media["schema"], value) for value in values] == [[]] * len(values)


@pytest.mark.parametrize("service", sorted(APPS))
def test_every_code_that_the_service_can_answer_is_in_the_enum(service: str) -> None:
    listed = set(resolved(service, {"$ref": "#/components/schemas/ErrorCode"})["enum"])
    raised = {code for app in APPS[service] for code in codes_of_classes(ROOT / "apps" / app)}
    assert {"malformed", "not_found"} <= raised
    assert sorted((raised | codes_of_handlers() | codes_of_the_gateway()) - listed - {"error"} - OF_COMMANDS) == []


@pytest.mark.parametrize(("component", "field"), [("LoginRequest", "otp"), ("RegisterRequest", "name")])
def test_an_empty_text_is_of_the_schema(component: str, field: str) -> None:
    schema = document_of("user")["components"]["schemas"][component]["properties"][field]
    assert problems_of("user", schema, "") == []


def test_the_list_of_keys_is_a_page() -> None:
    schema = document_of("kraken")["paths"]["/api/v1/kraken/keys"]["get"]["responses"]["200"]["content"]
    page = resolved("kraken", schema["application/json"]["schema"])
    assert set(page["properties"]) == {"next", "previous", "results"}


def media_of(called: Called) -> Iterator[dict[str, Any]]:
    responses = [resolved(called.service, each) for each in called.operation["responses"].values()]
    for described in [called.operation.get("requestBody", {}), *responses]:
        yield from described.get("content", {}).values()


def codes_of_classes(folder: Path) -> Iterator[str]:
    """`code` of every class that sets one beside being an error: `code = "…"` in its body."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                for statement in node.body:
                    target = (
                        statement.targets[0]
                        if isinstance(statement, ast.Assign)
                        else getattr(statement, "target", None)
                    )
                    value = getattr(statement, "value", None)
                    if isinstance(target, ast.Name) and target.id == "code" and isinstance(value, ast.Constant):
                        yield str(value.value)


def codes_of_handlers() -> set[str]:
    """The second argument of each `Answer(…)`, and the first of each `error_body(…)`, in apps.core.api.errors."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / "apps/core/api/errors.py").read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            place = {"Answer": 1, "error_body": 0}.get(node.func.id)
            if place is not None and len(node.args) > place and isinstance(node.args[place], ast.Constant):
                found.add(str(node.args[place].value))  # type: ignore[attr-defined]
    return found


def codes_of_the_gateway() -> set[str]:
    text = (ROOT / "nginx/nginx.conf.template").read_text()
    blocks = re.findall(r"map \S+ \$gateway_(?:unavailable_)?code \{(.*?)\}", text, flags=re.DOTALL)
    assert len(blocks) == 2
    return {code for block in blocks for code in re.findall(r"\S+ (\w+);", block)}
