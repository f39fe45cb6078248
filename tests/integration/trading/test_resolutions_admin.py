"""Operators enter on the staff site what became of an order; its history is read-only."""

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.events.store.selectors import stream_list
from apps.exchange.errors import ExchangeUnavailable
from apps.messages.bots import ResolveOrder
from apps.trading.models.order_states import IntentState
from apps.trading.models.resolutions import OrderResolution
from apps.trading.services.orders.manual_resolution import resolution_carry_out
from tests.factories.accounts import make_user
from tests.factories.fake_exchange import SubmitFault
from tests.factories.trading import only_intent
from tests.integration.trading.test_manual_resolution import is_there
from tests.integration.trading.test_resolver import Doubt

pytestmark = pytest.mark.django_db

LIST = "/admin/trading/ordertoresolve/"


@pytest.fixture
def doubt() -> Doubt:
    doubt = Doubt(SubmitFault.LOST_BEFORE)
    doubt.stranger(client_order_id="")
    assert doubt.pass_until(301).state == IntentState.NEEDS_HUMAN
    return doubt


def staff_of(role: str, settings: Any) -> tuple[Client, User]:
    settings.ROOT_URLCONF = "staff_site.urls"
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "whitenoise" not in name]
    user, client = make_user(roles=[role], name=f"{role.title()} Kim"), Client()
    client.force_login(user)
    return client, user


def page() -> str:
    return f"{LIST}{only_intent().id}/change/"


ENTRY = {"outcome": "placed", "placed_as": "OTWIN", "because": "the account's own pages"}


def test_the_list_has_the_orders_that_need_a_person(doubt: Doubt, settings: Any) -> None:
    client, _ = staff_of("operator", settings)
    assert only_intent().cl_ord_id in client.get(LIST).content.decode()


def test_the_page_shows_the_evidence_and_takes_an_entry(doubt: Doubt, settings: Any) -> None:
    client, user = staff_of("operator", settings)
    shown = client.get(page()).content.decode()
    assert "unattributed_activity" in shown
    answer = client.post(page(), ENTRY, follow=True).content.decode()
    assert "The exchange is being asked" in answer

    entry = OrderResolution.objects.get()
    assert (entry.exchange_order_id, entry.operator, entry.operator_id) == ("OTWIN", "Operator Kim", str(user.id))
    command = stream_list(aggregate_type="bot", aggregate_id=doubt.run.bot_id)[-1].message()
    assert isinstance(command, ResolveOrder)
    assert only_intent().state == IntentState.NEEDS_HUMAN

    resolution_carry_out(resolution_id=entry.id, context=doubt.context)
    assert "exchange_order_unknown" in client.get(page()).content.decode()

    is_there(doubt)
    client.post(page(), ENTRY)
    resolution_carry_out(resolution_id=OrderResolution.objects.get(state="requested").id, context=doubt.context)
    assert only_intent().state == IntentState.OPEN
    # It stays on the page, where another person may correct it; the same person may not.
    assert only_intent().cl_ord_id in client.get(LIST).content.decode()
    refused = client.post(page(), {"outcome": "never_placed", "because": "x"}, follow=True).content.decode()
    assert "Another person has to correct it" in refused


@pytest.mark.parametrize(
    "entry",
    [
        {**ENTRY, "because": ""},
        {**ENTRY, "placed_as": ""},
        {**ENTRY, "outcome": ""},
        {**ENTRY, "outcome": "never_placed"},
        {**ENTRY, "placed_as": "O<script>"},
    ],
)
def test_an_incomplete_entry_is_refused_on_the_form(doubt: Doubt, settings: Any, entry: dict[str, str]) -> None:
    client, _ = staff_of("operator", settings)
    assert "Please correct the error" in client.post(page(), entry).content.decode()
    assert OrderResolution.objects.count() == 0


@pytest.mark.parametrize("role", ["auditor", "support"])
def test_other_roles_only_look(doubt: Doubt, settings: Any, role: str) -> None:
    client, _ = staff_of(role, settings)
    shown = client.get(page())
    assert shown.status_code == 200
    assert "placed_as" not in shown.content.decode()
    assert client.post(page(), ENTRY).status_code == 403
    assert OrderResolution.objects.count() == 0


def test_entries_are_never_changed_or_deleted(doubt: Doubt, settings: Any) -> None:
    client, _ = staff_of("admin", settings)
    client.post(page(), ENTRY)
    entry = OrderResolution.objects.get()
    path = f"/admin/trading/orderresolution/{entry.id}"
    assert client.get(f"{path}/change/").status_code == 200
    assert client.post(f"{path}/change/", {"because": "x"}).status_code == 403
    assert client.post(f"{path}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"{LIST}{only_intent().id}/delete/", {"post": "yes"}).status_code == 403


def test_an_exchange_that_does_not_answer_leaves_the_entry_waiting(doubt: Doubt, settings: Any) -> None:
    client, _ = staff_of("operator", settings)
    client.post(page(), ENTRY)
    doubt.exchange.fail_reads(ExchangeUnavailable("It does not answer."))
    with pytest.raises(ExchangeUnavailable):
        resolution_carry_out(resolution_id=OrderResolution.objects.get().id, context=doubt.context)
    assert "requested" in client.get(page()).content.decode()
