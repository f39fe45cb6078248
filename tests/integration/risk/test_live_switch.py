"""Live trading is turned on and off by staff, with a reason and their name, and an "off" holds from its commit on."""

import threading
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.models import User
from apps.core.terms import Mode
from apps.events.store.selectors import stream_list
from apps.messages.live_trading import LIVE_SWITCH_ID, LiveTradingSwitched
from apps.risk.live_trading import LiveTradingDisabled, is_live_trading_on, refuse_live_trading
from apps.risk.models import LiveSwitch
from apps.risk.services.live_switch import live_switch_set
from apps.risk.services.locks import hold_shared
from tests.factories.accounts import UserFactory
from tests.factories.live import live_trading

pytestmark = [pytest.mark.django_db, pytest.mark.urls("staff_site.urls")]

LIST, PAGE = "admin:risk_liveswitch_changelist", "admin:risk_liveswitch_change"


def staff(role: str) -> tuple[Client, User]:
    user: User = UserFactory.create(roles=[role], name=f"Some {role}")
    client = Client()
    client.force_login(user)
    client.get(reverse(LIST))
    return client, user


def told() -> list[Any]:
    return [event.message() for event in stream_list(aggregate_type="live_switch", aggregate_id=LIVE_SWITCH_ID)]


@pytest.mark.parametrize("role", ["operator", "admin"])
def test_operators_turn_it_on_and_off_with_a_reason(settings: Settings, role: str) -> None:
    settings.LIVE_TRADING = True
    client, user = staff(role)
    page = reverse(PAGE, args=[1])
    assert client.get(page).status_code == 200
    assert not is_live_trading_on()

    assert client.post(page, {"is_on": "on", "because": "Checked with the bank"}).status_code == 302
    assert is_live_trading_on()
    row = LiveSwitch.objects.get()
    assert (row.reason, row.changed_by) == ("Checked with the bank", user.name)

    assert client.post(page, {"because": "Something is odd"}).status_code == 302
    assert not is_live_trading_on()
    events = told()
    assert all(isinstance(event, LiveTradingSwitched) for event in events)
    assert [(event.is_on, event.reason, event.operator, event.operator_id) for event in events] == [
        (True, "Checked with the bank", user.name, user.id),
        (False, "Something is odd", user.name, user.id),
    ]


def test_without_a_reason_nothing_changes() -> None:
    client, _ = staff("admin")

    answer = client.post(reverse(PAGE, args=[1]), {"is_on": "on", "because": ""})

    assert (answer.status_code, LiveSwitch.objects.get().is_on, told()) == (200, False, [])


@pytest.mark.parametrize("role", ["support", "auditor"])
def test_other_staff_may_look_only(role: str) -> None:
    client, _ = staff(role)
    page = reverse(PAGE, args=[1])
    assert client.get(page).status_code == 200

    assert client.post(page, {"is_on": "on", "because": "I want it"}).status_code == 403
    assert (LiveSwitch.objects.get().is_on, told()) == (False, [])


def test_there_is_one_switch_and_it_cannot_be_deleted() -> None:
    client, _ = staff("admin")

    assert client.post(reverse("admin:risk_liveswitch_add"), {"is_on": "on", "because": "x"}).status_code == 403
    assert client.post(reverse("admin:risk_liveswitch_delete", args=[1]), {"post": "yes"}).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_an_off_waits_for_an_order_that_is_being_marked_and_holds_for_the_next(settings: Settings) -> None:
    live_trading(settings, True)
    has_committed = threading.Event()

    def turn_off() -> None:
        try:
            live_switch_set(is_on=False, reason="x", operator="tests", operator_id=None, now=timezone.now())
            has_committed.set()
        finally:
            connection.close()

    with transaction.atomic():
        hold_shared(bot_id=uuid4(), credential_id=uuid4(), user_id=uuid4())
        refuse_live_trading(Mode.LIVE)
        thread = threading.Thread(target=turn_off)
        thread.start()
        # Not before this transaction ends, in which an order would be marked as being sent.
        assert not has_committed.wait(0.5)
    thread.join(timeout=10)

    assert has_committed.is_set()
    with pytest.raises(LiveTradingDisabled):
        refuse_live_trading(Mode.LIVE)
    refuse_live_trading(Mode.PAPER)


def test_the_bot_services_role_reads_the_switch(settings: Settings) -> None:
    live_trading(settings, True)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE bot_service")
        hold_shared(bot_id=uuid4(), credential_id=uuid4(), user_id=uuid4())
        assert is_live_trading_on()
