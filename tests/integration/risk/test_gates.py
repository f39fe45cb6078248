"""The gates before live trading: each is refused by name with how to meet it, and paper passes them all."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.bots.models import BotCommand
from apps.core.identity.assurance import STEP_UP_LASTS
from apps.core.identity.principal import EMAIL_VERIFIED_CLAIM, MFA_CLAIM, STEPPED_UP_CLAIM
from apps.risk.models import LiveSwitch
from apps.vault.models import Credential
from tests.factories.bots import BotFactory, TraderClient
from tests.factories.exchange import use_fake_exchange
from tests.factories.fake_exchange import FakeExchange
from tests.factories.live import assured_claims, live_trading
from tests.factories.vault import API_SECRET, api_key, stored_credential

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]

Act = Callable[[TraderClient, str], Any]


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeExchange:
    return use_fake_exchange(monkeypatch, FakeExchange())


@pytest.fixture
def _on(settings: Settings) -> None:
    live_trading(settings, True)


def connect(trader: TraderClient, mode: str) -> Any:
    login = {"api_key": api_key(), "api_secret": API_SECRET} if mode == "live" else {}
    return trader.post("/api/v1/kraken/connect", {"label": "Main", "mode": mode, **login})


def start(trader: TraderClient, mode: str) -> Any:
    key = stored_credential(user_id=trader.user_id, mode=mode)  # type: ignore[arg-type]
    bot = BotFactory.create(user_id=trader.user_id, credential_id=key.id, mode=mode)
    return trader.post(f"/api/v1/bot/{bot.id}/start")


ACTS = pytest.mark.parametrize("act", [connect, start])


def unmet(response: Any) -> list[str]:
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (403, "live_gate_unmet")
    gates = error["details"]["gates"]
    assert error["details"]["gate"] == gates[0]["gate"]
    assert gates[0]["how_to_meet"] in error["message"]
    assert all(gate["how_to_meet"] for gate in gates)
    assert BotCommand.objects.count() == 0
    return [gate["gate"] for gate in gates]


@ACTS
@pytest.mark.usefixtures("_on")
def test_who_meets_every_gate_passes(act: Act) -> None:
    assert act(TraderClient(**assured_claims()), "live").status_code in (201, 202)


@ACTS
def test_all_unmet_gates_are_named_at_once_in_the_order_to_meet_them(act: Act) -> None:
    assert unmet(act(TraderClient(), "live")) == ["installation", "email_verified", "mfa", "step_up"]


@ACTS
@pytest.mark.usefixtures("_on")
@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({EMAIL_VERIFIED_CLAIM: False}, "email_verified"),
        ({MFA_CLAIM: False}, "mfa"),
        ({STEPPED_UP_CLAIM: None}, "step_up"),
        ({STEPPED_UP_CLAIM: int((timezone.now() - STEP_UP_LASTS - timedelta(seconds=5)).timestamp())}, "step_up"),
        ({STEPPED_UP_CLAIM: int((timezone.now() + timedelta(hours=1)).timestamp())}, "step_up"),
        ({STEPPED_UP_CLAIM: "now"}, "step_up"),
        ({EMAIL_VERIFIED_CLAIM: "yes"}, "email_verified"),
    ],
)
def test_one_gate_alone_keeps_it_shut(act: Act, changes: dict[str, Any], gate: str) -> None:
    assert unmet(act(TraderClient(**(assured_claims() | changes)), "live")) == [gate]


@ACTS
@pytest.mark.parametrize("missing", ["setting", "switch", "row"])
def test_both_the_setting_and_the_switch_must_be_on(act: Act, settings: Settings, missing: str) -> None:
    live_trading(settings, True)
    if missing == "setting":
        settings.LIVE_TRADING = False
    elif missing == "switch":
        LiveSwitch.objects.update(is_on=False)
    else:
        LiveSwitch.objects.all().delete()

    assert unmet(act(TraderClient(**assured_claims()), "live")) == ["installation"]


@pytest.mark.usefixtures("_on")
def test_a_refused_live_key_never_reaches_the_exchange_and_is_not_stored(fake: FakeExchange) -> None:
    unmet(connect(TraderClient(), "live"))

    assert Credential.objects.count() == 0
    assert fake.calls == []


@pytest.mark.usefixtures("_on")
def test_a_live_key_is_replaced_behind_the_same_gates() -> None:
    trader = TraderClient()
    key = stored_credential(user_id=trader.user_id, mode="live")  # type: ignore[arg-type]

    answer = trader.post(f"/api/v1/kraken/keys/{key.id}/rotate", {"api_key": api_key(), "api_secret": API_SECRET})

    assert unmet(answer) == ["email_verified", "mfa", "step_up"]


def test_paper_passes_every_gate() -> None:
    assert start(TraderClient(), "paper").status_code == 202
