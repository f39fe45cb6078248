"""The mutations of the kraken service."""

from typing import Any
from uuid import UUID, uuid4

from apps.bots.consumers import READ_MODELS
from apps.bots.models import Bot
from apps.events.consumers.delivery import deliver
from tests.factories.bots import Story, TraderClient
from tests.factories.live import assured_claims
from tests.factories.vault import API_SECRET, api_key, stored_credential
from tests.integration.access.mutations.mutation import Asked, Mutation, Place, publishes

BOT = "/api/v1/bot/{bot_id}"


def _trader(user_id: UUID | None = None) -> TraderClient:
    """A trader who meets every gate."""
    return TraderClient(user_id or uuid4(), **assured_claims())


def _bot(place: Place, *, is_running: bool = False) -> tuple[Bot, TraderClient]:
    trader = _trader()
    bot = place.world.add_bot(trader.user_id)
    if is_running:
        deliver(Story(bot_id=bot.id, user_id=bot.user_id).started(), group=READ_MODELS)
    return bot, trader


@publishes("POST /api/v1/bot", "bot.created")
def create_bot(place: Place) -> Asked:
    trader = _trader()
    body = {
        "name": "Follower",
        "credential_id": str(place.world.add_key(trader.user_id)),
        "pair": "XBTUSD",
        "strategy": "sma_cross",
        "parameters": {"fast": 3, "slow": 8},
        "interval_minutes": 60,
        "quote_budget": "1000",
    }
    return Asked(trader, body, actor=trader.user_id)


def _of_bot(method: str, below: str, *events: str, body: Any = None, is_running: bool = False) -> Mutation:
    def prepare(place: Place) -> Asked:
        bot, trader = _bot(place, is_running=is_running)
        return Asked(trader, body, ids={"bot_id": bot.id}, actor=trader.user_id)

    return Mutation(f"{method} {BOT}{below}", prepare, frozenset(events))


def _by_body(path: str, event: str, *, is_running: bool) -> Mutation:
    def prepare(place: Place) -> Asked:
        bot, trader = _bot(place, is_running=is_running)
        return Asked(trader, {"bot_id": str(bot.id)}, actor=trader.user_id)

    return Mutation(f"POST /api/v1/bot/{path}", prepare, frozenset({event}))


OF_BOTS = [
    _of_bot("PATCH", "", "bot.changed", body={"name": "Another"}),
    _of_bot("DELETE", "", "bot.deleted"),
    _of_bot("POST", "/clone", "bot.created"),
    _of_bot("POST", "/start", "bot.start"),
    _of_bot("POST", "/pause", "bot.stop", is_running=True),
    _of_bot("POST", "/stop", "bot.stop", is_running=True),
    _of_bot("POST", "/flatten", "bot.stop", is_running=True),
    _of_bot("POST", "/trigger-trade", "bot.trigger_trade", is_running=True),
    _by_body("start", "bot.start", is_running=False),
    _by_body("stop", "bot.stop", is_running=True),
    _by_body("trigger_trade", "bot.trigger_trade", is_running=True),
]


@publishes("POST /api/v1/bot/stop-all", "bot.stop")
def stop_all(place: Place) -> Asked:
    _, trader = _bot(place, is_running=True)
    return Asked(trader, actor=trader.user_id)


@publishes("PATCH /api/v1/trading/caps", "risk.caps.changed")
def change_caps(place: Place) -> Asked:
    trader = _trader()
    return Asked(trader, {"asset": "USD", "largest_order": "900"}, actor=trader.user_id)


@publishes("POST /api/v1/trading/halts", "risk.halt.set")
def set_halt(place: Place) -> Asked:
    trader = _trader()
    return Asked(trader, {"scope": "user", "reason": "A look."}, actor=trader.user_id)


@publishes("DELETE /api/v1/trading/halts/{halt_id}", "risk.halt.lifted")
def lift_halt(place: Place) -> Asked:
    asked = set_halt.prepare(place)
    halt = asked.client.post("/api/v1/trading/halts", asked.body).json()
    return Asked(asked.client, ids={"halt_id": halt["id"]}, actor=asked.actor)


def _key() -> tuple[Any, TraderClient]:
    trader = _trader()
    return stored_credential(user_id=trader.user_id, mode="live"), trader  # type: ignore[arg-type]


@publishes("POST /api/v1/kraken/connect", "kraken.key.connected")
def connect_key(place: Place) -> Asked:
    trader = _trader()
    body = {"label": "Main", "mode": "live", "api_key": api_key(), "api_secret": API_SECRET}
    return Asked(trader, body, actor=trader.user_id)


@publishes("PATCH /api/v1/kraken/keys/{key_id}", "kraken.key.updated")
def rename_key(place: Place) -> Asked:
    key, trader = _key()
    return Asked(trader, {"label": "Another"}, ids={"key_id": key.id}, actor=trader.user_id)


@publishes("DELETE /api/v1/kraken/keys/{key_id}", "kraken.key.disconnected")
def disconnect_key(place: Place) -> Asked:
    key, trader = _key()
    return Asked(trader, ids={"key_id": key.id}, actor=trader.user_id)


@publishes("POST /api/v1/kraken/keys/{key_id}/rotate", "kraken.key.updated")
def rotate_key(place: Place) -> Asked:
    key, trader = _key()
    body = {"api_key": api_key(), "api_secret": API_SECRET}
    return Asked(trader, body, ids={"key_id": key.id}, actor=trader.user_id)


@publishes("POST /api/v1/kraken/keys/{key_id}/test", "kraken.key.checked")
def test_key(place: Place) -> Asked:
    key, trader = _key()
    return Asked(trader, ids={"key_id": key.id}, actor=trader.user_id)
