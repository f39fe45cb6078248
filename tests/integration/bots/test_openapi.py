"""Responses match the OpenAPI document."""

from typing import Any

import jsonschema
import pytest
from drf_spectacular.generators import SchemaGenerator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from apps.bots.consumers import ALERTS, READ_MODELS
from apps.bots.models import Bot
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from tests.factories.bots import Story, TraderClient

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

load_consumers()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    generated: dict[str, Any] = SchemaGenerator(urlconf="kraken_service.urls").get_schema(request=None, public=True)
    return generated


def check(document: dict[str, Any], method: str, path: str, status: int, body: Any) -> None:
    answer = document["paths"][path][method]["responses"][str(status)]
    answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
    schema = answer["content"]["application/json"]["schema"]
    registry = Registry().with_resource("urn:api", Resource.from_contents(document, DRAFT202012))
    absolute = {"$ref": f"urn:api{schema['$ref']}"} if "$ref" in schema else schema
    jsonschema.Draft202012Validator(absolute, registry=registry).validate(body)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/bot",
        "/api/v1/bot/strategies",
        "/api/v1/bot/alerts",
        "/api/v1/bot/{bot_id}",
        "/api/v1/bot/{bot_id}/commands",
        "/api/v1/bot/{bot_id}/status",
        "/api/v1/bot/{bot_id}/timeline",
        "/api/v1/bot/{bot_id}/trades",
        "/api/v1/bot/{bot_id}/performance",
        "/api/v1/bot/{bot_id}/equity",
        "/api/v1/trading/portfolio",
        "/api/v1/trading/trades",
    ],
)
@pytest.mark.parametrize("has_lived", [False, True])
def test_reads(document: dict[str, Any], trader: TraderClient, bot: Bot, path: str, has_lived: bool) -> None:
    if has_lived:
        trader.post(f"/api/v1/bot/{bot.id}/start")
        story = Story(bot_id=bot.id, user_id=bot.user_id)
        for envelope in (story.started(), story.traded("buy"), story.account_traded("buy"), story.skipped()):
            deliver(envelope, group=READ_MODELS)
        failed = story.failed(is_final=True)
        deliver(failed, group=READ_MODELS)
        deliver(failed, group=ALERTS)

    response = trader.get(path.replace("{bot_id}", str(bot.id)))
    assert response.status_code == 200
    check(document, "get", path, 200, response.json())


def test_commands_and_errors(document: dict[str, Any], trader: TraderClient, bot: Bot) -> None:
    path = "/api/v1/bot/{bot_id}/start"
    for status in (202, 409):
        response = trader.post(path.replace("{bot_id}", str(bot.id)))
        assert response.status_code == status
        check(document, "post", path, status, response.json())
