"""A person says what became of an order: the exchange is asked first, and another person can correct a wrong entry."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from apps.core.errors import PlatformError
from apps.core.terms import Side
from apps.events.commands.registry import execute
from apps.events.store.selectors import stream_list
from apps.exchange.errors import ExchangeUnavailable
from apps.exchange.types import ExchangeOrder, OrderRequest, OrderStatus, OrderType
from apps.messages.bots import ResolveOrder
from apps.messages.orders import BotOrderNeedsPerson, BotOrderOpened, BotOrderResolved, OrderFacts
from apps.trading import tasks
from apps.trading.models.ledger import Fill, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.resolutions import OrderResolution
from apps.trading.models.staff_entries import EntryState
from apps.trading.services.orders import manual_resolution
from apps.trading.services.orders.exchange_proof import (
    DeadlineNotPassed,
    ExchangeOrderUnknown,
    OrderWasPlaced,
    TermsDiffer,
)
from apps.trading.services.orders.lifecycle import intent_needs_human
from apps.trading.services.orders.manual_resolution import (
    FillsBooked,
    OrderInTheWay,
    OrderNotInDoubt,
    ResolutionPending,
    order_resolve,
    resolution_carry_out,
    resolution_enter,
    resolution_request,
)
from apps.trading.services.orders.reconciliation import orders_reconcile
from apps.trading.services.orders.staff_entries import Operator, ReasonMissing, SecondPersonNeeded
from tests.factories.fake_exchange import SubmitFault
from tests.factories.trading import only_intent
from tests.integration.trading.test_resolver import Doubt

pytestmark = pytest.mark.django_db

KIM, ADA = Operator("1", "Kim"), Operator("2", "Ada")
LOOKED = "the account's own pages"


@pytest.fixture
def doubt() -> Doubt:
    """An order that never reached the exchange, while another one on the account may be it."""
    doubt = Doubt(SubmitFault.LOST_BEFORE, kind=OrderKind.REST, price=20000)
    doubt.stranger(client_order_id="")
    assert doubt.pass_until(301).state == IntentState.NEEDS_HUMAN
    return doubt


def is_there(doubt: Doubt, exchange_order_id: str = "OTWIN", **changes: Any) -> str:
    """The exchange has an order with the terms of ours and without a client order id, or with these changes."""
    intent = only_intent()
    shown = ExchangeOrder(
        exchange_order_id=exchange_order_id,
        status=OrderStatus.OPEN,
        pair="XBTUSD",
        side=Side(intent.side),
        order_type="limit",
        volume=intent.volume,
        executed_volume=Decimal(0),
        cost=Decimal(0),
        fee=Decimal(0),
        limit_price=intent.price,
        opened_at=intent.sent_at,
    )
    doubt.exchange.show(replace(shown, **changes))
    return exchange_order_id


def placed(doubt: Doubt, exchange_order_id: str, operator: Operator = KIM) -> OrderIntent:
    return order_resolve(
        client_order_id=only_intent().cl_ord_id,
        exchange_order_id=exchange_order_id,
        operator=operator,
        because=LOOKED,
        context=doubt.context,
    )


def never_placed(doubt: Doubt, operator: Operator = KIM) -> OrderIntent:
    return order_resolve(
        client_order_id=only_intent().cl_ord_id,
        exchange_order_id=None,
        operator=operator,
        because=LOOKED,
        context=doubt.context,
    )


def steps(doubt: Doubt) -> list[OrderFacts]:
    events = (event.message() for event in stream_list(aggregate_type="bot", aggregate_id=doubt.run.bot_id))
    return [each for each in events if isinstance(each, OrderFacts)]


class TestPlaced:
    def test_an_order_whose_terms_agree_is_adopted_with_its_fills(self, doubt: Doubt) -> None:
        exchange_order_id = is_there(doubt)
        intent = placed(doubt, exchange_order_id)
        assert (intent.state, intent.txid) == (IntentState.OPEN, exchange_order_id)
        last = intent.evidence[-1]
        assert (last["operator"], last["because"], last["exchange"]["volume"]) == ("Kim", LOOKED, "0.01")

    def test_its_event_names_the_person(self, doubt: Doubt) -> None:
        placed(doubt, is_there(doubt))
        resolved, opened = steps(doubt)[-2:]
        assert isinstance(resolved, BotOrderResolved)
        assert isinstance(opened, BotOrderOpened)
        assert (resolved.operator, resolved.was, resolved.state) == ("Kim", "needs_human", "open")

    def test_an_id_that_the_exchange_does_not_know_is_refused(self, doubt: Doubt) -> None:
        with pytest.raises(ExchangeOrderUnknown) as refused:
            placed(doubt, "OTYPO1-AAAAA-BBBBBB")
        assert refused.value.details["ours"]["volume"] == "0.01"
        assert (only_intent().state, only_intent().txid) == (IntentState.NEEDS_HUMAN, "")

    @pytest.mark.parametrize(
        ("change", "term"),
        [
            ({"side": Side.SELL}, "side"),
            ({"volume": Decimal("0.02")}, "volume"),
            ({"limit_price": Decimal(20001)}, "price"),
            ({"order_type": "market", "limit_price": None}, "type"),
            ({"pair": "ETHUSD"}, "pair"),
            ({"client_order_id": "another"}, "client_order_id"),
        ],
    )
    def test_an_order_of_other_terms_is_refused_with_both(
        self, doubt: Doubt, change: dict[str, Any], term: str
    ) -> None:
        before = only_intent().evidence
        exchange_order_id = is_there(doubt, **change)
        with pytest.raises(TermsDiffer) as refused:
            placed(doubt, exchange_order_id)
        assert refused.value.details["differs"] == [term]
        assert refused.value.details["ours"][term] != refused.value.details["exchange"][term]
        intent = only_intent()
        assert (intent.state, intent.txid, intent.evidence) == (IntentState.NEEDS_HUMAN, "", before)

    @pytest.mark.parametrize("seconds", [-60, 60])
    def test_an_order_of_another_time_is_refused(self, doubt: Doubt, seconds: int) -> None:
        sent_at = only_intent().sent_at
        assert sent_at is not None
        exchange_order_id = is_there(doubt, opened_at=sent_at + timedelta(seconds=seconds))
        with pytest.raises(TermsDiffer) as refused:
            placed(doubt, exchange_order_id)
        assert refused.value.details["differs"] == ["opened_at"]

    def test_what_the_exchange_leaves_out_is_no_difference(self, doubt: Doubt) -> None:
        assert placed(doubt, is_there(doubt, opened_at=None, limit_price=None)).state == IntentState.OPEN

    def test_an_order_that_is_there_under_another_id_is_refused_with_that_id(self, doubt: Doubt) -> None:
        twin = is_there(doubt)
        is_there(doubt, "OREAL", client_order_id=only_intent().cl_ord_id)
        with pytest.raises(OrderWasPlaced) as refused:
            placed(doubt, twin)
        assert refused.value.details["exchange_order_id"] == "OREAL"

    def test_an_entry_that_was_refused_is_kept_with_the_reason(self, doubt: Doubt) -> None:
        with pytest.raises(ExchangeOrderUnknown):
            placed(doubt, "OTYPO")
        refused = OrderResolution.objects.get()
        assert (refused.state, refused.code, refused.exchange_order_id) == (
            EntryState.REFUSED,
            "exchange_order_unknown",
            "OTYPO",
        )
        assert placed(doubt, is_there(doubt)).state == IntentState.OPEN


class TestNeverPlaced:
    def test_it_ends_the_order_and_frees_its_reservation(self, doubt: Doubt) -> None:
        intent = never_placed(doubt)
        assert (intent.state, intent.state_code) == (IntentState.NOT_PLACED, "judged_absent")
        assert (intent.evidence[-1]["operator"], intent.evidence[-1]["found"]) == ("Kim", False)
        assert Position.objects.get().quote_reserved == 0

    @pytest.mark.parametrize("status", [OrderStatus.OPEN, OrderStatus.CLOSED])
    def test_it_is_refused_where_the_exchange_has_the_order(self, doubt: Doubt, status: OrderStatus) -> None:
        ours = only_intent().cl_ord_id
        is_there(doubt, "OREAL", client_order_id=ours, status=status, closed_at=doubt.clock())
        with pytest.raises(OrderWasPlaced) as refused:
            never_placed(doubt)
        assert refused.value.details["exchange_order_id"] == "OREAL"
        assert only_intent().state == IntentState.NEEDS_HUMAN

    def test_it_is_refused_before_the_deadline(self, doubt: Doubt) -> None:
        OrderIntent.objects.update(deadline=doubt.clock() + timedelta(seconds=1))
        with pytest.raises(DeadlineNotPassed):
            never_placed(doubt)

    def test_it_is_refused_where_the_exchange_named_the_order(self, doubt: Doubt) -> None:
        OrderIntent.objects.update(txid="OABC")
        with pytest.raises(OrderNotInDoubt, match="placed as OABC"):
            never_placed(doubt)


class TestRefusals:
    def test_an_order_that_is_not_in_doubt_needs_nobody(self) -> None:
        doubt = Doubt(SubmitFault.LOST_AFTER)
        doubt.pass_until(16)
        with pytest.raises(OrderNotInDoubt, match="filled"):
            never_placed(doubt)

    def test_a_reason_is_required(self, doubt: Doubt) -> None:
        with pytest.raises(ReasonMissing):
            resolution_enter(order=only_intent(), exchange_order_id="", operator=KIM, because=" ", now=doubt.clock())

    def test_two_entries_at_once_are_one(self, doubt: Doubt) -> None:
        entry: Callable[[Operator], OrderResolution] = lambda who: resolution_enter(  # noqa: E731
            order=only_intent(), exchange_order_id="", operator=who, because=LOOKED, now=doubt.clock()
        )
        entry(KIM)
        with pytest.raises(ResolutionPending):
            entry(ADA)
        doubt.clock.sleep(3600)
        entry(ADA)
        assert list(OrderResolution.objects.order_by("requested_at").values_list("state", flat=True)) == [
            EntryState.REFUSED,
            EntryState.REQUESTED,
        ]

    def test_an_exchange_that_does_not_answer_changes_nothing(self, doubt: Doubt) -> None:
        doubt.exchange.fail_reads(ExchangeUnavailable("It does not answer."))
        with pytest.raises(ExchangeUnavailable):
            never_placed(doubt)
        assert only_intent().state == IntentState.NEEDS_HUMAN

    def test_an_order_of_another_intent_is_in_the_way(self, doubt: Doubt) -> None:
        twin = is_there(doubt)
        other = only_intent()
        facts = {f.attname: getattr(other, f.attname) for f in OrderIntent._meta.fields if f.name != "id"}
        changes = {"cl_ord_id": "mk-other", "decision_id": "other", "txid": twin, "state": "canceled",
                   "ended_at": doubt.clock(), "reserved_quote": 0}  # fmt: skip
        made = OrderIntent(**(facts | changes))
        # Past the table of states.
        super(OrderIntent, made).save(force_insert=True)
        with pytest.raises(OrderInTheWay):
            order_resolve(
                client_order_id=other.cl_ord_id,
                exchange_order_id=twin,
                operator=KIM,
                because=LOOKED,
                context=doubt.context,
            )
        assert made.txid == twin


class TestCorrection:
    def test_another_person_names_the_right_order_instead(self, doubt: Doubt) -> None:
        placed(doubt, is_there(doubt, "OWRONG"))
        intent = placed(doubt, is_there(doubt, "ORIGHT"), ADA)
        assert (intent.state, intent.txid) == (IntentState.OPEN, "ORIGHT")
        assert [entry["operator"] for entry in intent.evidence if "operator" in entry] == ["Kim", "Ada", "Ada"]
        assert [type(step) for step in steps(doubt)[-3:]] == [BotOrderNeedsPerson, BotOrderResolved, BotOrderOpened]
        wrong, right = OrderResolution.objects.order_by("requested_at", "finished_at")
        assert (right.corrects, right.corrected_operator_id) == (wrong, KIM.id)

    def test_it_can_be_taken_back_that_an_order_was_placed(self, doubt: Doubt) -> None:
        placed(doubt, is_there(doubt))
        assert never_placed(doubt, ADA).state == IntentState.NOT_PLACED
        assert (only_intent().txid, Position.objects.get().quote_reserved) == ("", 0)

    def test_it_can_be_taken_back_that_an_order_was_never_placed(self, doubt: Doubt) -> None:
        reserved = Position.objects.get().quote_reserved
        never_placed(doubt)
        intent = placed(doubt, is_there(doubt), ADA)
        assert intent.state == IntentState.OPEN
        assert Position.objects.get().quote_reserved == reserved > 0

    def test_an_order_that_the_wrong_one_ended_is_reopened(self, doubt: Doubt) -> None:
        wrong = is_there(doubt, "OWRONG")
        placed(doubt, wrong)
        doubt.exchange.end(wrong, reason="User requested")
        doubt.clock.sleep(60)
        orders_reconcile(context=doubt.context)
        assert only_intent().state == IntentState.CANCELED
        assert placed(doubt, is_there(doubt, "ORIGHT"), ADA).state == IntentState.OPEN

    def test_the_same_person_cannot(self, doubt: Doubt) -> None:
        placed(doubt, is_there(doubt))
        with pytest.raises(SecondPersonNeeded):
            never_placed(doubt, KIM)
        assert only_intent().state == IntentState.OPEN

    def test_the_database_knows_that_too(self, doubt: Doubt) -> None:
        placed(doubt, is_there(doubt))
        entry = OrderResolution.objects.get()
        with pytest.raises(IntegrityError, match="second_person"), transaction.atomic():
            OrderResolution.objects.create(
                order=entry.order,
                operator_id=KIM.id,
                operator="Kim",
                because=LOOKED,
                corrects=entry,
                corrected_operator_id=KIM.id,
                requested_at=doubt.clock(),
            )

    def test_a_wrong_entry_with_booked_fills_is_not_taken_back(self, doubt: Doubt) -> None:
        # Sold to by a stranger's order of the same terms: what it executed is in the ledger.
        request = OrderRequest(
            pair="XBTUSD",
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            volume=Decimal("0.01"),
            price=Decimal(20000),
            client_order_id="x",
            deadline=doubt.clock() + timedelta(seconds=5),
        )
        doubt.exchange.submit(request)
        exchange_order_id = doubt.exchange.placed[-1].exchange_order_id
        doubt.exchange.rewrite(exchange_order_id, client_order_id=None, opened_at=only_intent().sent_at)
        placed(doubt, exchange_order_id)
        doubt.exchange.fill(exchange_order_id, Decimal("0.004"))
        doubt.clock.sleep(60)
        orders_reconcile(context=doubt.context)
        assert Fill.objects.count() == 1
        with pytest.raises(FillsBooked) as refused:
            never_placed(doubt, ADA)
        assert refused.value.details["filled_volume"] == "0.004"
        assert only_intent().state == IntentState.PARTIAL

    def test_an_entry_is_not_repeated(self, doubt: Doubt) -> None:
        never_placed(doubt)
        with pytest.raises(OrderNotInDoubt, match="entered already"):
            never_placed(doubt, ADA)

    def test_what_evidence_decided_is_no_entry(self, doubt: Doubt) -> None:
        never_placed(doubt)
        OrderResolution.objects.all().delete()
        with pytest.raises(OrderNotInDoubt, match="not_placed"):
            placed(doubt, is_there(doubt), ADA)


class TestRequest:
    """The staff site has no keys: it stores the entry, and a worker of the bot service carries it out."""

    @pytest.fixture(autouse=True)
    def worker(self, doubt: Doubt, monkeypatch: pytest.MonkeyPatch) -> None:
        def carry_out(*, resolution_id: Any) -> OrderResolution:
            return resolution_carry_out(resolution_id=resolution_id, context=doubt.context)

        monkeypatch.setattr(tasks, "resolution_carry_out", carry_out)

    def request(self, doubt: Doubt, exchange_order_id: str) -> ResolveOrder:
        resolution = resolution_request(
            order=only_intent(), exchange_order_id=exchange_order_id, operator=KIM, because=LOOKED, now=doubt.clock()
        )
        command = stream_list(aggregate_type="bot", aggregate_id=doubt.run.bot_id)[-1].message()
        assert isinstance(command, ResolveOrder)
        assert command.command_id == resolution.id
        return command

    def test_changes_nothing_until_the_exchange_was_asked(self, doubt: Doubt) -> None:
        self.request(doubt, is_there(doubt))
        assert only_intent().state == IntentState.NEEDS_HUMAN

    def test_is_carried_out_once_however_often_delivered(self, doubt: Doubt) -> None:
        command = self.request(doubt, is_there(doubt))
        assert execute(command, now=doubt.clock()) == "done"
        execute(command, now=doubt.clock())
        assert only_intent().state == IntentState.OPEN
        assert OrderResolution.objects.get().state == EntryState.APPLIED
        assert sum(isinstance(step, BotOrderResolved) for step in steps(doubt)) == 1

    def test_that_the_exchange_contradicts_is_stored_as_refused_with_both_terms(self, doubt: Doubt) -> None:
        command = self.request(doubt, is_there(doubt, volume=Decimal("0.02")))
        assert execute(command, now=doubt.clock()) == "done"
        refused = OrderResolution.objects.get()
        assert (refused.state, refused.code) == (EntryState.REFUSED, "terms_differ")
        assert (refused.details["ours"]["volume"], refused.details["exchange"]["volume"]) == ("0.01", "0.02")
        assert only_intent().state == IntentState.NEEDS_HUMAN

    def test_waits_for_an_exchange_that_does_not_answer(self, doubt: Doubt) -> None:
        command = self.request(doubt, is_there(doubt))
        doubt.exchange.fail_reads(ExchangeUnavailable("It does not answer."))
        with pytest.raises(Exception, match="attempt 1"):
            execute(command, now=doubt.clock())
        assert OrderResolution.objects.get().state == EntryState.REQUESTED
        assert execute(command, now=doubt.clock()) == "done"
        assert only_intent().state == IntentState.OPEN


class TestCommand:
    @pytest.fixture(autouse=True)
    def keys(self, doubt: Doubt, monkeypatch: pytest.MonkeyPatch) -> None:
        from apps.trading.management.commands import resolve_order as command

        def at_the_exchange(**entry: Any) -> OrderIntent:
            return manual_resolution.order_resolve(**entry, context=doubt.context)

        monkeypatch.setattr(command, "order_resolve", at_the_exchange)

    def resolve(self, name: str, *verdict: str) -> None:
        call_command(name, only_intent().cl_ord_id, *verdict, "--operator=kim", "--because=looked")

    def test_resolves_and_says_so(self, doubt: Doubt, capsys: pytest.CaptureFixture[str]) -> None:
        self.resolve("resolve_order", "--not-placed")
        assert capsys.readouterr().out == f"{only_intent().cl_ord_id} is not_placed.\n"

    def test_says_why_not(self, doubt: Doubt) -> None:
        with pytest.raises(CommandError, match="knows no order OTYPO"):
            self.resolve("resolve_order", "--placed-as=OTYPO")

    def test_works_by_its_old_name_and_says_the_new_one(self, doubt: Doubt, capsys: pytest.CaptureFixture[str]) -> None:
        self.resolve("judge_order", "--not-placed")
        assert "now called resolve_order" in capsys.readouterr().err
        assert only_intent().state == IntentState.NOT_PLACED


def test_an_order_with_contradictory_evidence_can_be_confirmed_under_its_own_id(doubt: Doubt) -> None:
    placed(doubt, is_there(doubt))
    intent_needs_human(intent_id=only_intent().id, code="x", evidence={"because": "test"}, now=doubt.clock())
    assert placed(doubt, "OTWIN", KIM).state == IntentState.OPEN


def test_every_refusal_has_a_code_of_its_own() -> None:
    refusals: list[type[PlatformError]] = [
        OrderNotInDoubt, SecondPersonNeeded, FillsBooked, ResolutionPending, OrderInTheWay, ReasonMissing,
        ExchangeOrderUnknown, TermsDiffer, OrderWasPlaced, DeadlineNotPassed,
    ]  # fmt: skip
    assert len({refusal.code for refusal in refusals}) == len(refusals)
