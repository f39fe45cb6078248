"""The exchange's database role has the privileges that the exchange needs, and no others."""

from decimal import Decimal

import pytest
from django.db import ProgrammingError, connection, transaction
from django.test import Client

from tests.integration.paper.conftest import OpenAccount
from tests.integration.paper.wire import Wire

pytestmark = [pytest.mark.django_db, pytest.mark.urls("paper_exchange.urls"), pytest.mark.usefixtures("flat_market")]


@pytest.fixture(autouse=True)
def _own_role(django_db_setup: None, db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE paper_exchange")
        cursor.execute("SET LOCAL search_path TO paper, events")


def test_accounts_orders_and_reads_need_no_more(client: Client, open_account: OpenAccount) -> None:
    wire = Wire.of(client, open_account(usd="10000", btc="1"))
    order = {"pair": "XBTUSD", "type": "buy", "volume": "0.5"}

    (resting,) = wire.call("AddOrder", **order, ordertype="limit", price="990")["txid"]
    wire.call("AddOrder", **order, ordertype="market")
    wire.call("AmendOrder", txid=resting, limit_price="980")
    wire.call("CancelOrder", txid=resting)
    wire.secret = "bm90IGl0"
    assert wire.error("Balance") == "EAPI:Invalid signature"


@pytest.mark.parametrize("table", ["users.user_account", "kraken.vault_credential", "events.event"])
def test_other_domains_are_closed(table: str) -> None:
    with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")


def test_trades_cannot_be_rewritten_even_by_the_exchange(client: Client, open_account: OpenAccount) -> None:
    wire = Wire.of(client, open_account(usd="10000"))
    wire.call("AddOrder", pair="XBTUSD", type="buy", ordertype="market", volume="0.5")

    with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE paper.paper_trade SET fee = %s", [Decimal(0)])
