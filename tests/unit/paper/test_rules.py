from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from apps.paper.engine.orders import OrderType, Side, TimeInForce
from apps.paper.engine.rules import OrderTerms, check_deadline, check_terms, check_times, is_client_order_id
from tests.unit.paper.builders import START, XBTUSD


def _terms(**changes: Any) -> OrderTerms:
    terms: dict[str, Any] = {
        "pair": XBTUSD,
        "side": Side.BUY,
        "kind": OrderType.LIMIT,
        "volume": Decimal("0.001"),
        "limit": Decimal("50000"),
    }
    return OrderTerms(**{**terms, **changes})


MARKET = {"kind": OrderType.MARKET, "limit": None}

BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"limit": None}, "EGeneral:Invalid arguments:price"),
    ({"kind": OrderType.MARKET}, "EGeneral:Invalid arguments:price"),
    ({**MARKET, "post_only": True}, "EGeneral:Invalid arguments:oflags"),
    ({**MARKET, "time_in_force": TimeInForce.IOC}, "EGeneral:Invalid arguments:timeinforce"),
    ({"post_only": True, "time_in_force": TimeInForce.IOC}, "EGeneral:Invalid arguments:timeinforce"),
    ({"time_in_force": TimeInForce.GTD}, "EGeneral:Invalid arguments:expiretm"),
    ({"expires_at": START}, "EGeneral:Invalid arguments:expiretm"),
    ({"cl_ord_id": "abc", "userref": 5}, "EGeneral:Invalid arguments:cl_ord_id"),
    ({"cl_ord_id": "a-nineteen-chars-id"}, "EGeneral:Invalid arguments:cl_ord_id"),
    ({"volume": Decimal(0)}, "EGeneral:Invalid arguments:volume"),
    ({"volume": Decimal("0.001000001")}, "EGeneral:Invalid arguments:volume"),
    ({"volume": Decimal(10) ** 10}, "EGeneral:Invalid arguments:volume"),
    ({"volume": Decimal("0.00004")}, "EOrder:Order minimum not met"),
    ({"limit": Decimal(0)}, "EOrder:Invalid price"),
    ({"limit": Decimal(-1)}, "EOrder:Invalid price"),
    ({"limit": Decimal("50000.05")}, "EOrder:Tick size check failed"),
    ({"limit": Decimal("499.9")}, "EOrder:Cost minimum not met"),
]


@pytest.mark.parametrize(("changes", "error"), BROKEN)
def test_a_broken_rule_is_named_in_krakens_words(changes: dict[str, Any], error: str) -> None:
    with pytest.raises(Exception, match=f"^{error}$"):
        check_terms(_terms(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        MARKET,
        {"volume": Decimal("1E-3")},
        {"limit": Decimal("500")},
        {"post_only": True, "time_in_force": TimeInForce.GTD, "expires_at": START},
    ],
)
def test_good_terms_pass(changes: dict[str, Any]) -> None:
    check_terms(_terms(**changes))


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("6d1b345e-2821-40e2-ad83-4ecb18a06876", True),
        ("da8e4ad59b78481c93e589746b0cf91f", True),
        ("arb-20240509-00010", True),
        ("a", True),
        ("arb-20240509-000100", False),
        ("", False),
        (" abc", False),
        ("abc\n", False),
        ("bäh", False),
        ("6d1b345e-2821-40e2-ad83-4ecb18a0687g", False),
    ],
)
def test_client_order_ids_are_uuids_hex_or_eighteen_characters(text: str, is_one: bool) -> None:
    assert is_client_order_id(text) is is_one


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (-0.001, "EService:Deadline elapsed"),
        (0, "EGeneral:Invalid arguments:deadline"),
        (1.999, "EGeneral:Invalid arguments:deadline"),
        (2, None),
        (60, None),
        (60.001, "EGeneral:Invalid arguments:deadline"),
    ],
)
def test_a_deadline_is_two_to_sixty_seconds_ahead_when_the_order_arrives(seconds: float, error: str | None) -> None:
    deadline = START + timedelta(seconds=seconds)

    if error is None:
        check_deadline(deadline, START)
    else:
        with pytest.raises(Exception, match=error):
            check_deadline(deadline, START)


def test_when_the_order_meets_the_market_its_deadline_only_must_not_have_passed() -> None:
    check_times(_terms(deadline=START), START)

    with pytest.raises(Exception, match="EService:Deadline elapsed"):
        check_times(_terms(deadline=START - timedelta(milliseconds=1)), START)


def test_an_order_lives_five_seconds_at_least() -> None:
    with pytest.raises(Exception, match="EGeneral:Invalid arguments:expiretm"):
        check_times(_terms(expires_at=START + timedelta(seconds=3)), START)
    check_times(_terms(expires_at=START + timedelta(seconds=5)), START)
