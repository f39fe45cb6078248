"""Operators accept balances on the staff site; the reconciler carries it out, and another person takes it back."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from apps.accounts.models import User
from apps.exchange.errors import ExchangeUnavailable
from apps.risk.models.accounts import AccountAsset, AccountMovement
from apps.risk.models.halts import Halt
from apps.trading.models.acceptances import BalanceAcceptance
from apps.trading.models.runs import BotRun
from apps.trading.models.staff_entries import EntryState
from apps.trading.reconciler import key_round
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.orders.account_comparison import GRACE, account_compare
from apps.trading.services.orders.balance_acceptance import accounts_with_entries
from apps.trading.services.orders.staff_entries import EXPIRES_AFTER
from apps.trading.services.runs.tick import tick_run
from tests.factories.accounts import make_user
from tests.factories.fake_exchange import FakeExchange, raising
from tests.factories.trading import SteppingClock, running_bot

pytestmark = pytest.mark.django_db

LIST = "/admin/risk/account/"


@pytest.fixture
def drifting(exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock) -> BotRun:
    """A bot whose account has lost 7 dollars that nothing explains."""
    run = running_bot(context)
    tick_run(run_id=run.id, context=context)
    account_compare(run.credential_id, context=context)
    exchange.totals["ZUSD"] -= 7
    compare_twice(run, context, clock)
    assert drift_is_halted()
    return run


def compare_twice(run: BotRun, context: ExecutionContext, clock: SteppingClock) -> None:
    account_compare(run.credential_id, context=context)
    clock.sleep(GRACE.total_seconds())
    account_compare(run.credential_id, context=context)


def drift_is_halted() -> bool:
    return Halt.objects.filter(code="account_drift", lifted_at=None).exists()


@pytest.fixture
def staff(settings: Any) -> Callable[[str], tuple[Client, User]]:
    settings.ROOT_URLCONF = "staff_site.urls"
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "whitenoise" not in name]

    def log_in(role: str) -> tuple[Client, User]:
        user, client = make_user(roles=[role], name=f"{role.title()} Kim"), Client()
        client.force_login(user)
        return client, user

    return log_in


def page(run: BotRun) -> str:
    return f"{LIST}{run.credential_id}/change/"


ACCEPT = {"entry": "accept", "because": "A fee of the bank."}
TAKE_BACK = {"entry": "take_back", "because": "It was no fee."}


def test_the_page_shows_what_is_whose_and_what_differs(
    drifting: BotRun, staff: Callable[[str], tuple[Client, User]]
) -> None:
    client, _ = staff("auditor")
    assert str(drifting.credential_id) in client.get(LIST).content.decode()
    shown = client.get(page(drifting)).content.decode()
    row = AccountAsset.objects.get(asset="ZUSD")
    assert row.drift_found is not None
    for figure in (row.booked, row.drift_found):
        assert f"<td>{figure.normalize():f}</td>" in shown
    assert str(drifting.bot_id) in shown
    assert "What was looked at" not in shown  # an auditor changes nothing
    assert client.post(page(drifting), ACCEPT).status_code == 403


def test_an_entry_is_carried_out_by_the_reconciler_and_ends_the_halt(
    drifting: BotRun, context: ExecutionContext, staff: Callable[[str], tuple[Client, User]]
) -> None:
    client, user = staff("operator")
    assert "The exchange is being asked" in client.post(page(drifting), ACCEPT, follow=True).content.decode()
    assert accounts_with_entries() == [drifting.credential_id]
    assert not AccountMovement.objects.exists()
    assert "being carried out" in client.post(page(drifting), ACCEPT, follow=True).content.decode()

    key_round(drifting.credential_id, context=context)

    entry = BalanceAcceptance.objects.get()
    assert (entry.state, entry.operator, entry.operator_id) == ("applied", "Operator Kim", str(user.id))
    movement = AccountMovement.objects.get()
    assert (movement.amount, movement.because) == (-7, "Operator Kim: A fee of the bank.")
    assert entry.movements == [str(movement.id)]
    assert not drift_is_halted()
    assert "is accepted" in client.get(page(drifting)).content.decode()
    assert accounts_with_entries() == []
    assert "No difference" in client.post(page(drifting), ACCEPT, follow=True).content.decode()


def test_another_person_takes_an_acceptance_back_and_the_difference_is_there_again(
    drifting: BotRun, context: ExecutionContext, clock: SteppingClock, staff: Callable[[str], tuple[Client, User]]
) -> None:
    first, _ = staff("operator")
    before = AccountAsset.objects.get(asset="ZUSD").booked
    first.post(page(drifting), ACCEPT)
    key_round(drifting.credential_id, context=context)
    assert "Another person" in first.post(page(drifting), TAKE_BACK, follow=True).content.decode()

    second, _ = staff("admin")
    second.post(page(drifting), TAKE_BACK)
    key_round(drifting.credential_id, context=context)
    compare_twice(drifting, context, clock)

    assert [each.amount for each in AccountMovement.objects.order_by("recorded_at")] == [-7, 7]
    assert AccountAsset.objects.get(asset="ZUSD").booked == before
    assert drift_is_halted()
    assert "in force" in second.post(page(drifting), TAKE_BACK, follow=True).content.decode()


def test_an_entry_waits_for_an_exchange_that_does_not_answer_and_expires(
    drifting: BotRun,
    exchange: FakeExchange,
    context: ExecutionContext,
    clock: SteppingClock,
    staff: Callable[[str], tuple[Client, User]],
) -> None:
    client, _ = staff("operator")
    client.post(page(drifting), ACCEPT)
    BalanceAcceptance.objects.update(requested_at=clock())
    exchange.on("balances", instead=raising(ExchangeUnavailable("It does not answer.")))
    key_round(drifting.credential_id, context=context)
    assert BalanceAcceptance.objects.get().state == EntryState.REQUESTED

    clock.sleep(EXPIRES_AFTER.total_seconds())
    key_round(drifting.credential_id, context=context)
    entry = BalanceAcceptance.objects.get()
    assert (entry.state, entry.code) == (EntryState.REFUSED, "exchange_unavailable")
    assert not AccountMovement.objects.exists()


def test_the_table_refuses_that_one_person_takes_back_what_they_accepted(
    drifting: BotRun, clock: SteppingClock
) -> None:
    facts = {"credential_id": drifting.credential_id, "operator": "Kim", "because": "x", "requested_at": clock()}
    first = BalanceAcceptance.objects.create(**facts, operator_id="1", state="applied", finished_at=clock())
    for wrong in (
        {"operator_id": "1", "corrects": first, "corrected_operator_id": "1"},
        {"operator_id": "2", "because": ""},
        {"operator_id": "2", "state": "applied"},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            BalanceAcceptance.objects.create(**(facts | wrong))
