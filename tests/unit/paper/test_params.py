from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from apps.paper.api.params import Params
from apps.paper.engine.orders import Side
from apps.paper.errors import InvalidArguments
from tests.unit.paper.builders import START


def test_lists_come_by_repetition_and_by_commas() -> None:
    assert Params.of_form("pair=XBTUSD&pair=ETHUSD,SOLUSD").names("pair") == ["XBTUSD", "ETHUSD", "SOLUSD"]
    assert Params.of_json('{"txid": ["A", "B"]}').names("txid") == ["A", "B"]


@pytest.mark.parametrize(
    ("text", "value"), [("True", True), ("true", True), ("FALSE", False), ("1", True), ("", False)]
)
def test_booleans_are_read_in_any_case(text: str, value: bool) -> None:
    assert Params.of_form(f"validate={text}").boolean("validate") is value


def test_json_numbers_keep_their_digits() -> None:
    params = Params.of_json('{"price": 37500.10, "volume": "1.25", "nonce": 18446744073709551615, "validate": true}')

    assert params.number("price") == Decimal("37500.10")
    assert params.text("nonce") == "18446744073709551615"
    assert params.boolean("validate") is True


@pytest.mark.parametrize(
    ("text", "value"), [("1e-05", Decimal("0.00001")), ("37500", Decimal(37500)), ("+30", Decimal(30))]
)
def test_numbers_are_read_as_decimals(text: str, value: Decimal) -> None:
    assert Params({"volume": [text]}).number("volume") == value


@pytest.mark.parametrize("text", ["nan", "Infinity", "1e999", "0x10", "1_000", "1,5", "--1", "1" * 30, "١"])
def test_what_is_not_a_plain_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidArguments, match=r"^EGeneral:Invalid arguments:volume$"):
        Params({"volume": [text]}).number("volume")


@pytest.mark.parametrize("body", ["[1]", "{", "nonsense", "[" * 100_000, "null"])
def test_what_is_not_a_json_object_is_refused(body: str) -> None:
    with pytest.raises(InvalidArguments):
        Params.of_json(body)


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(InvalidArguments):
        Params.of_form("&".join(f"a{number}=1" for number in range(400)))


def test_an_empty_value_is_an_absent_one() -> None:
    assert Params.of_form("userref=").integer("userref", least=0, most=9) is None
    with pytest.raises(InvalidArguments, match="pair"):
        Params.of_form("pair=").required("pair")


def test_integers_keep_to_their_range() -> None:
    assert Params.of_form("count=500").integer("count", least=1, most=500) == 500
    with pytest.raises(InvalidArguments, match="count"):
        Params.of_form("count=501").integer("count", least=1, most=500)


def test_choices_are_exact() -> None:
    assert Params.of_form("type=buy").choice("type", Side) is Side.BUY
    with pytest.raises(InvalidArguments, match="type"):
        Params.of_form("type=Buy").choice("type", Side)


@pytest.mark.parametrize(
    ("text", "moment"),
    [("0", None), ("%2B30", START + timedelta(seconds=30)), ("1767225630", START + timedelta(seconds=30))],
)
def test_an_expiry_is_absolute_relative_or_none(text: str, moment: datetime | None) -> None:
    assert Params.of_form(f"expiretm={text}").moment_ahead("expiretm", now=START) == moment


@pytest.mark.parametrize("text", ["-5", "99999999999999", "%2B99999999999999999"])
def test_times_beyond_reason_are_refused(text: str) -> None:
    with pytest.raises(InvalidArguments, match="expiretm"):
        Params.of_form(f"expiretm={text}").moment_ahead("expiretm", now=START)


def test_deadlines_are_rfc3339_with_an_offset() -> None:
    assert Params({"deadline": ["2026-01-01T01:00:00+01:00"]}).rfc3339("deadline") == START
    assert Params({"deadline": ["2026-01-01T00:00:00.5Z"]}).rfc3339("deadline") == datetime(
        2026, 1, 1, 0, 0, 0, 500_000, UTC
    )
    for text in ("2026-01-01T00:00:00", "soon"):
        with pytest.raises(InvalidArguments, match="deadline"):
            Params({"deadline": [text]}).rfc3339("deadline")
