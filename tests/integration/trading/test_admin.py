"""Staff look at what bots did, and change nothing."""

from typing import Any

import pytest
from django.test import Client

from apps.trading.models.ledger import Fill
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from apps.trading.services.runs.tick import tick_run
from tests.factories.accounts import make_user
from tests.factories.trading import context_of, fake_exchange, running_bot

pytestmark = pytest.mark.django_db

MODELS = [
    "trading/botrun",
    "trading/orderintent",
    "trading/fill",
    "trading/position",
    "trading/ledgerentry",
    "risk/botswitch",
]


@pytest.fixture
def staff(client: Client, settings: Any) -> Client:
    settings.ROOT_URLCONF = "staff_site.urls"
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "whitenoise" not in name]
    client.force_login(make_user(roles=["operator"]))
    return client


@pytest.fixture
def traded() -> BotRun:
    context = context_of(fake_exchange())
    run = running_bot(context)
    tick_run(run_id=run.id, context=context)
    return run


@pytest.mark.parametrize("model", MODELS)
def test_every_list_is_shown_and_nothing_can_be_added(staff: Client, traded: BotRun, model: str) -> None:
    assert staff.get(f"/admin/{model}/").status_code == 200
    assert staff.get(f"/admin/{model}/add/").status_code == 403


def test_an_order_is_shown_with_its_evidence(staff: Client, traded: BotRun) -> None:
    intent = OrderIntent.objects.get()
    page = staff.get(f"/admin/trading/orderintent/{intent.id}/change/")
    assert page.status_code == 200
    assert intent.txid in page.content.decode()
    assert "AddOrder" in page.content.decode()


def test_a_change_is_refused(staff: Client, traded: BotRun) -> None:
    intent, fill = OrderIntent.objects.get(), Fill.objects.get()
    assert staff.post(f"/admin/trading/orderintent/{intent.id}/change/", {"state": "filled"}).status_code == 403
    assert staff.post(f"/admin/trading/fill/{fill.id}/delete/", {"post": "yes"}).status_code == 403
    assert Fill.objects.count() == 1
