"""Caps on live trading: shown, lowered by anyone, raised behind the gates, smaller in the first seven days."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from pytest_django import Settings

from apps.bots.models import Bot, BotCommand
from apps.core.terms import Mode
from apps.events.store.selectors import stream_page
from apps.messages.risk import CapsChanged
from apps.risk.caps import Caps, caps_in_force
from apps.risk.models import Cap, LiveBeginning
from apps.risk.services.caps import live_beginning_record
from service_common.settings.factory import LiveCaps
from tests.factories.bots import BotFactory, TraderClient
from tests.factories.live import assured_claims, live_trading
from tests.integration.bots.conftest import World, world  # noqa: F401  (a fixture)

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

CAPS = "/api/v1/trading/caps"


@pytest.fixture(autouse=True)
def _on(settings: Settings) -> None:
    live_trading(settings, True)
    settings.LIVE_CAPS = LiveCaps(Decimal(1000), Decimal(5000), Decimal(2000), Decimal("0.1"))


@pytest.fixture
def trader() -> TraderClient:
    """Who meets every gate."""
    return TraderClient(**assured_claims())


@pytest.fixture
def old(trader: TraderClient) -> TraderClient:
    """Who has traded live for longer than seven days."""
    live_beginning_record(user_id=trader.user_id, now=timezone.now() - timedelta(days=8))
    return trader


def amounts(order: str, position: str, budget: str) -> dict[str, str]:
    return {"largest_order": order, "largest_position": position, "largest_budget": budget}


def told(trader: TraderClient) -> list[Any]:
    page = stream_page(aggregate_type="user", aggregate_id=trader.user_id, before_seq=None, limit=50)
    messages = (envelope.message() for envelope in page)
    return [message for message in messages if isinstance(message, CapsChanged)]


def definition(world: World, trader: TraderClient, **changes: Any) -> dict[str, Any]:  # noqa: F811
    key = world.add_key(trader.user_id, mode=Mode.LIVE)
    fields = {"name": "Live", "credential_id": str(key), "pair": "XBTUSD", "strategy": "sma_cross"}
    return fields | changes


def test_the_defaults_hold_and_a_tenth_of_them_before_and_in_the_first_seven_days(trader: TraderClient) -> None:
    body = trader.get(CAPS).json()
    assert (body["asset"], body["bot_id"], body["first_days_end_at"]) == ("USD", None, None)
    assert body["own"] == amounts("1000", "5000", "2000")
    assert body["in_force"] == amounts("100", "500", "200")

    now = timezone.now()
    live_beginning_record(user_id=trader.user_id, now=now - timedelta(days=6))
    live_beginning_record(user_id=trader.user_id, now=now)
    assert trader.get(CAPS).json()["in_force"] == amounts("100", "500", "200")
    LiveBeginning.objects.update(began_at=now - timedelta(days=7))
    assert trader.get(CAPS).json()["in_force"] == amounts("1000", "5000", "2000")


@pytest.mark.parametrize("asset", ["XBT", "ETH", "JPY"])
def test_an_asset_of_another_worth_has_no_room_until_the_user_makes_some(old: TraderClient, asset: str) -> None:
    assert old.get(CAPS, {"asset": asset}).json()["in_force"] == amounts("0", "0", "0")

    assert old.patch(CAPS, {"asset": asset, **amounts("1", "2", "3")}).status_code == 200

    assert old.get(CAPS, {"asset": asset}).json()["in_force"] == amounts("1", "2", "3")
    assert old.get(CAPS).json()["in_force"] == amounts("1000", "5000", "2000")


def test_lowering_needs_nothing(settings: Settings) -> None:
    live_trading(settings, False)
    settings.LIVE_CAPS = LiveCaps(Decimal(1000), Decimal(5000), Decimal(2000), Decimal("0.1"))
    trader = TraderClient()

    answer = trader.patch(CAPS, {"asset": "USD", "largest_order": "900"})

    assert (answer.status_code, answer.json()["own"]) == (200, amounts("900", "5000", "2000"))
    (event,) = told(trader)
    assert (event.is_raised, event.largest_order, event.asset) == (False, Decimal(900), "USD")


def test_raising_needs_the_gates(old: TraderClient) -> None:
    bare = TraderClient(old.user_id)
    refused = bare.patch(CAPS, {"asset": "USD", "largest_order": "900", "largest_budget": "2001"})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (403, "live_gate_unmet")
    assert [gate["gate"] for gate in error["details"]["gates"]] == ["email_verified", "mfa", "step_up"]
    assert Cap.objects.count() == 0

    raised = old.patch(CAPS, {"asset": "USD", "largest_budget": "9000"})

    assert (raised.status_code, raised.json()["in_force"]) == (200, amounts("1000", "5000", "9000"))
    assert [event.is_raised for event in told(old)] == [True]


def test_to_raise_what_was_lowered_needs_the_gates_too(old: TraderClient) -> None:
    assert old.patch(CAPS, {"asset": "USD", "largest_order": "10"}).status_code == 200

    assert TraderClient(old.user_id).patch(CAPS, {"asset": "USD", "largest_order": "11"}).status_code == 403


def test_raised_caps_do_not_lift_the_first_seven_days(trader: TraderClient) -> None:
    assert trader.patch(CAPS, {"asset": "USD", **amounts("90000", "90000", "90000")}).status_code == 200

    assert trader.get(CAPS).json()["in_force"] == amounts("100", "500", "200")


def test_a_bots_caps_narrow_the_users_and_never_widen_them(old: TraderClient) -> None:
    bot = BotFactory.create(user_id=old.user_id, mode="live")
    of_bot = {"bot_id": str(bot.id), "asset": "USD"}

    narrowed = old.patch(CAPS, {**of_bot, "largest_order": "50"}).json()
    widened = old.patch(CAPS, {**of_bot, "largest_position": "99999"}).json()

    assert narrowed["in_force"] == amounts("50", "5000", "2000")
    assert widened["in_force"] == amounts("50", "5000", "2000")
    assert old.get(CAPS).json()["in_force"] == amounts("1000", "5000", "2000")


def test_anothers_bot_is_not_there(old: TraderClient) -> None:
    bot_id = str(BotFactory.create(mode="live").id)

    assert old.get(CAPS, {"bot_id": bot_id}).status_code == 404
    assert old.patch(CAPS, {"asset": "USD", "bot_id": bot_id, "largest_order": "1"}).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"asset": "USD"},
        {"largest_order": "1"},
        {"asset": "USD", "largest_order": "-1"},
        {"asset": "USD", "largest_order": "NaN"},
        {"asset": "u", "largest_order": "1"},
        {"asset": "USD", "largest_orders": "1"},
    ],
)
def test_what_cannot_be_understood_is_refused(old: TraderClient, body: dict[str, str]) -> None:
    assert old.patch(CAPS, body).status_code == 400
    assert Cap.objects.count() == 0


def test_a_live_bot_above_the_cap_is_not_made(world: World, old: TraderClient) -> None:  # noqa: F811
    refused = old.post("/api/v1/bot", definition(world, old, quote_budget="2000.01"))

    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (422, "cap_exceeded")
    assert error["details"] == {"cap": "largest_budget", "limit": "2000", "asked": "2000.01", "asset": "USD"}
    assert Bot.objects.count() == 0
    assert old.post("/api/v1/bot", definition(world, old, quote_budget="2000")).status_code == 201


def test_a_live_bots_budget_is_not_raised_above_the_cap_and_may_be_lowered(
    world: World,  # noqa: F811
    old: TraderClient,
) -> None:
    bot = world.add_bot(old.user_id, mode=Mode.LIVE, quote_budget=Decimal(3000))
    path = f"/api/v1/bot/{bot.id}"

    assert old.patch(path, {"quote_budget": "3500"}).json()["error"]["code"] == "cap_exceeded"
    assert old.patch(path, {"quote_budget": "2900"}).status_code == 200
    assert old.patch(path, {"name": "Another name"}).status_code == 200


def test_a_live_bot_above_the_cap_is_not_started(world: World, old: TraderClient) -> None:  # noqa: F811
    bot = world.add_bot(old.user_id, mode=Mode.LIVE, quote_budget=Decimal(3000))

    refused = old.post(f"/api/v1/bot/{bot.id}/start")

    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "cap_exceeded")
    assert BotCommand.objects.count() == 0


def test_paper_has_no_caps(world: World) -> None:  # noqa: F811
    trader = TraderClient()
    key = str(world.add_key(trader.user_id))

    made = trader.post("/api/v1/bot", definition(world, trader, credential_id=key, quote_budget="1000000"))

    assert made.status_code == 201
    assert trader.post(f"/api/v1/bot/{made.json()['id']}/start").status_code == 202


def test_the_names_of_balances_are_the_same_assets() -> None:
    user_id, now = uuid4(), timezone.now()
    live_beginning_record(user_id=user_id, now=now - timedelta(days=30))

    def of(asset: str, at: datetime = now) -> Caps:
        return caps_in_force(user_id=user_id, bot_id=None, asset=asset, now=at)

    assert of("ZUSD") == of("USD") == Caps(Decimal(1000), Decimal(5000), Decimal(2000))
    assert of("XXBT") == of("XBT") == Caps(Decimal(0), Decimal(0), Decimal(0))


def test_there_is_one_row_a_subject() -> None:
    fields: dict[str, Any] = {"user_id": uuid4(), "asset": "USD", "changed_at": timezone.now()}
    fields |= {"largest_order": 1, "largest_position": 1, "largest_budget": 1}
    Cap.objects.create(**fields)

    with pytest.raises(IntegrityError), transaction.atomic():
        Cap.objects.create(**fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        Cap.objects.create(**{**fields, "asset": "EUR", "largest_order": -1})
