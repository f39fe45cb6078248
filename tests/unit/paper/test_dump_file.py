from pathlib import Path

import pytest

from apps.paper.errors import MalformedCandleFile, UnreadableCandleFile
from apps.paper.market.dump_file import load_candles

GOOD = [
    "1514764800,13971.1,14052.3,13681.4,13798.4,94.12696806,758",
    "1514768400,13791.4,13885.5,13499.1,13501.0,86.73468833,719",
    "1514775600,13512.0,13898.9,13512,13696.2,111.75141842,844",
]


def _file(folder: Path, lines: list[str], name: str = "XBTUSD_60.csv", end: str = "\n") -> Path:
    path = folder / name
    path.write_text(end.join(lines) + end)
    return path


def test_every_row_becomes_a_candle_in_ticks_and_lots(tmp_path: Path) -> None:
    series = load_candles(_file(tmp_path, GOOD))

    assert len(series) == 3
    assert series.candle(0) == (1514764800, 139711, 140523, 136814, 137984, 9412696806, 758)
    assert series.candle(2) == (1514775600, 135120, 138989, 135120, 136962, 11175141842, 844)
    assert (series.pair.altname, series.interval_minutes, series.synthetic) == ("XBTUSD", 60, False)
    assert series.source == "XBTUSD_60.csv"


def test_windows_line_ends_and_a_missing_last_one_are_read(tmp_path: Path) -> None:
    path = tmp_path / "XBTUSD_60.csv"
    path.write_text("\r\n".join(GOOD), newline="")

    assert len(load_candles(path)) == 3


@pytest.mark.parametrize(
    ("name", "pair", "minutes"),
    [
        ("XBTUSD_60_2018-2021.csv", "XBTUSD", 60),
        ("ETHUSD_5.csv", "ETHUSD", 5),
        ("my candles.csv", "XBTUSD", 60),
    ],
)
def test_pair_and_interval_come_from_the_name(tmp_path: Path, name: str, pair: str, minutes: int) -> None:
    series = load_candles(_file(tmp_path, GOOD, name=name))

    assert (series.pair.altname, series.interval_minutes) == (pair, minutes)


def test_prices_and_volumes_are_rounded_half_up_to_the_grid_that_orders_trade_on(tmp_path: Path) -> None:
    rows = [
        "1514764800,100.04,100.25,99.95,100.149,0.123456785,1",
        "1514768400,100.0,100.0,100.0,100.0,0.000000004,1",
    ]

    series = load_candles(_file(tmp_path, rows))

    assert series.candle(0)[1:6] == (1000, 1003, 1000, 1001, 12345679)
    assert series.candle(1).volume == 0


def test_two_files_differ_in_their_fingerprint(tmp_path: Path) -> None:
    first = load_candles(_file(tmp_path, GOOD))
    second = load_candles(_file(tmp_path, GOOD[:2]))

    assert first.fingerprint != second.fingerprint


BAD_ROWS = [
    ("1514768400,13791.4,13885.5,13499.1,13501.0,86.7", "6 columns instead of 7"),
    ("time,open,high,low,close,volume,trades", "time is 'time', not a whole number"),
    ("1514768400,abc,13885.5,13499.1,13501.0,86.7,719", "open is 'abc', not a plain decimal number"),
    ("1514768400,13791.4,nan,13499.1,13501.0,86.7,719", "high is 'nan', not a plain decimal number"),
    ("1514768400,13791.4,13885.5,-1,13501.0,86.7,719", "low is '-1', not a plain decimal number"),
    ("1514768400,13791.4,13885.5,13499.1,13501.0,1e3,719", "volume is '1e3', not a plain decimal number"),
    ("1514768400,13791.4,13885.5,13499.1,13501.0,86.7,7.5", "trades is '7.5', not a whole number"),
    ("1514768400,13791.4,13499.1,13885.5,13501.0,86.7,719", "high is below low"),
    ("1514768400,13999.4,13885.5,13499.1,13501.0,86.7,719", "open is not between low and high"),
    ("1514768400,13791.4,13885.5,13499.1,13400.0,86.7,719", "close is not between low and high"),
    ("1514764800,13791.4,13885.5,13499.1,13501.0,86.7,719", "does not come after the previous row's 1514764800"),
    ("1514768401,13791.4,13885.5,13499.1,13501.0,86.7,719", "is not on the 60 minute grid"),
    ("1514768400,13791.4,13885.5,0.01,13501.0,86.7,719", "low is below the smallest price"),
    ("1514768400,13791.4,13885.5,13499.1,13501.0,99999999999.0,719", "a number is too large"),
    ("15147684000000,1,1,1,1,1,1", "a number is too large"),
    ("", "the line is empty"),
    ("\x00\x89PNG", "1 columns instead of 7"),
]


@pytest.mark.parametrize(("bad", "problem"), BAD_ROWS)
def test_a_bad_row_is_named_by_its_line_and_what_is_wrong(tmp_path: Path, bad: str, problem: str) -> None:
    path = _file(tmp_path, [GOOD[0], bad, GOOD[2]])

    with pytest.raises(MalformedCandleFile) as caught:
        load_candles(path)

    assert caught.value.line == 2
    assert problem in caught.value.message
    assert caught.value.message.startswith(f"The candle file {path}, line 2: ")
    assert caught.value.message.count("\n") == 0


@pytest.mark.parametrize(("lines", "problem"), [([], "the file is empty"), (GOOD[:1], "it is the only candle")])
def test_a_file_without_a_market_in_it_is_refused(tmp_path: Path, lines: list[str], problem: str) -> None:
    with pytest.raises(MalformedCandleFile, match=problem):
        load_candles(_file(tmp_path, lines))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("ABCUSD_60.csv", "does not list ABCUSD, only XBTUSD, ETHUSD, SOLUSD, XDGUSD"),
        ("XBTUSD_61.csv", "61 minutes is not an interval"),
    ],
)
def test_a_name_that_means_no_market_here_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(MalformedCandleFile, match=problem) as caught:
        load_candles(_file(tmp_path, GOOD, name=name))

    assert caught.value.line is None


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnreadableCandleFile, match=r"cannot be read: No such file or directory\.$"):
        load_candles(tmp_path / "XBTUSD_60.csv")
