"""Constraints and triggers of the paper exchange's tables."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from apps.paper.engine.orders import Side, Status
from apps.paper.models import LedgerEntry, Order, Trade, Wallet
from tests.integration.paper.conftest import Trader, market_terms, terms
from tests.unit.paper.builders import START

pytestmark = pytest.mark.django_db


class TestDatabasePromises:
    @pytest.fixture(autouse=True)
    def _market(self, flat_market: object) -> None: ...

    @pytest.mark.parametrize(
        ("change", "constraint"),
        [
            ({"balance": Decimal(-1)}, "paper_wallet"),
            ({"held": Decimal(-1)}, "paper_wallet_held_not_negative"),
            ({"held": Decimal(10_001)}, "paper_wallet_held_is_covered"),
        ],
    )
    def test_a_wallet_cannot_go_wrong(self, trader: Trader, change: dict[str, Decimal], constraint: str) -> None:
        with pytest.raises(IntegrityError, match=constraint):
            Wallet.objects.filter(account_id=trader.id, asset="ZUSD").update(**change)

    def test_two_open_orders_cannot_share_a_client_id(self, trader: Trader) -> None:
        trader.place(terms(cl_ord_id="mine"))
        other = trader.place(terms(cl_ord_id="other"))

        with pytest.raises(IntegrityError, match="paper_order_live_cl_ord_id"):
            Order.objects.filter(pk=other.pk).update(cl_ord_id="mine")

    @pytest.mark.parametrize("status", [Status.CLOSED.value, Status.CANCELED.value])
    def test_an_order_cannot_end_while_it_holds(self, trader: Trader, status: str) -> None:
        order = trader.place(terms())

        with pytest.raises(IntegrityError, match="paper_order_"):
            Order.objects.filter(pk=order.pk).update(status=status, closed_at=START)

    @pytest.mark.parametrize("model", [Trade, LedgerEntry])
    def test_trades_and_ledger_are_append_only(self, trader: Trader, model: Any) -> None:
        trader.place(market_terms(Side.BUY, "0.5"))

        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            model.objects.update(fee=0)
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            model.objects.all()._raw_delete("default")
