"""Machine keys on the kraken service: the scope follows from the mode of the bot or of its exchange key."""

from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.bots.models import BotCommand
from apps.core.identity.machine_key_format import digest_of_machine_key, new_machine_key
from apps.core.models import MachineKey
from apps.core.terms import Mode
from tests.factories.bots import BotFactory
from tests.integration.bots.calls import MUTATIONS
from tests.integration.bots.conftest import World

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("kraken_service.urls"),
    pytest.mark.usefixtures("machine_keys_read_anew"),
]


def _script(user_id: Any, *scopes: str) -> APIClient:
    key = new_machine_key()
    MachineKey.objects.create(
        user_id=user_id,
        name="script",
        hint=key[:8],
        digest=digest_of_machine_key(key),
        scopes=list(scopes),
        created_at=timezone.now(),
    )
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {key}")
    client.default_format = "json"
    return client


@pytest.mark.parametrize(("mode", "other"), [("paper", "live"), ("live", "paper")])
@pytest.mark.parametrize(("method", "path"), MUTATIONS)
def test_the_scope_of_the_other_mode_is_not_enough(mode: str, other: str, method: str, path: str) -> None:
    bot = BotFactory.create(mode=mode)

    for scopes in (["read"], [f"trade:{other}"]):
        answer = getattr(_script(bot.user_id, *scopes), method)(f"/api/v1/bot/{bot.id}{path}", {})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (403, "scope_missing")
        assert error["details"] == {"scope": f"trade:{mode}", "scopes": scopes}
    assert BotCommand.objects.count() == 0


@pytest.mark.parametrize("call", ["start", "stop", "trigger_trade"])
def test_a_bot_that_the_body_names_counts_alike(call: str) -> None:
    bot = BotFactory.create(mode="live")

    answer = _script(bot.user_id, "trade:paper").post(f"/api/v1/bot/{call}", {"bot_id": str(bot.id)})

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope_missing")


@pytest.mark.parametrize("scope", ["read", "trade:paper", "trade:live"])
def test_every_scope_reads_whatever_the_mode(scope: str) -> None:
    bot = BotFactory.create(mode="live")

    assert _script(bot.user_id, scope).get(f"/api/v1/bot/{bot.id}").status_code == 200


def test_with_the_scope_the_command_is_taken() -> None:
    for mode in ("paper", "live"):
        bot = BotFactory.create(mode=mode)

        answer = _script(bot.user_id, f"trade:{mode}").post(f"/api/v1/bot/{bot.id}/pause")

        assert answer.json().get("error", {}).get("code") not in ("scope_missing", "machine_key_not_allowed")


def test_a_script_starts_a_live_bot_through_the_gates_with_the_live_scope(world: World, live_trading_on: None) -> None:
    bot = world.add_bot(uuid4(), mode=Mode.LIVE)
    refused = _script(bot.user_id, "trade:paper").post(f"/api/v1/bot/{bot.id}/start")
    assert (refused.status_code, BotCommand.objects.count()) == (403, 0)

    answer = _script(bot.user_id, "trade:live").post(f"/api/v1/bot/{bot.id}/start")

    assert answer.status_code == 202, answer.json()
    assert BotCommand.objects.get().kind == "start"


def test_anothers_bot_is_not_found_with_any_scope() -> None:
    bot = BotFactory.create(mode="live")

    for scopes in (["trade:paper"], ["trade:paper", "trade:live"]):
        answer = _script(uuid4(), *scopes).post(f"/api/v1/bot/{bot.id}/stop")
        assert answer.status_code == 404


def test_what_concerns_bots_of_both_modes_needs_both_scopes() -> None:
    bot = BotFactory.create()

    for method, path, body in (
        ("post", "/api/v1/bot/stop-all", {}),
        ("post", "/api/v1/trading/halts", {"scope": "user"}),
        ("delete", f"/api/v1/trading/halts/{uuid4()}", {}),
    ):
        answer = getattr(_script(bot.user_id, "trade:paper"), method)(path, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope_missing"), path
        assert answer.json()["error"]["details"]["scope"] == "trade:live"
    both = _script(bot.user_id, "trade:paper", "trade:live")
    assert both.post("/api/v1/trading/halts", {"scope": "user"}).status_code == 201


def test_a_halt_of_one_bot_needs_the_scope_of_its_mode() -> None:
    bot = BotFactory.create(mode="paper")
    body = {"scope": "bot", "bot_id": str(bot.id)}

    assert _script(bot.user_id, "trade:live").post("/api/v1/trading/halts", body).status_code == 403
    assert _script(bot.user_id, "trade:paper").post("/api/v1/trading/halts", body).status_code == 201
