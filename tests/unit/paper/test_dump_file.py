import os
from pathlib import Path

import pytest

from apps.paper.errors import MalformedCandleFile, UnreadableCandleFile
from apps.paper.market.dump_file import load_candles

GOOD = [
    "1514764800,13971.1,14052.3,13681.4,13798.4,94.12696806,758",
    "1514768400,13791.4,13885.5,13499.1,13501.0,86.73468833,719",
    "1514775600,13512.0,13898.9,13512,13696.2,111.75141842,844",
]


def spaced(*minutes: int) -> list[str]:
    """Rows with these spacings between them, on the grid of weeks."""
    times = [1514764800 // 604800 * 604800]
    for step in minutes:
        times.append(times[-1] + step * 60)
    return [f"{time},100.0,101.0,99.0,100.5,3.25,7" for time in times]


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
        ("XBTUSD_1.csv", "XBTUSD", 1),
        ("ETHUSD_720.csv", "ETHUSD", 720),
        ("ETHUSD_1440.csv", "ETHUSD", 1440),
        ("SOLUSD_10080.csv", "SOLUSD", 10080),
        ("ethusd_60.csv", "ETHUSD", 60),
        ("XbtUsd_60.CSV", "XBTUSD", 60),
        ("ETHUSD-60.csv", "ETHUSD", 60),
        ("ETHUSD_1440 (1).csv", "ETHUSD", 1440),
        ("ETHUSD_1440(2).csv", "ETHUSD", 1440),
        ("XDGUSD_60", "XDGUSD", 60),
    ],
)
def test_pair_and_interval_come_from_the_name(tmp_path: Path, name: str, pair: str, minutes: int) -> None:
    series = load_candles(_file(tmp_path, spaced(minutes, minutes), name=name))

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
        ("XBTEUR_60.csv", "does not list XBTEUR, only XBTUSD, "),
        ("BTCUSDT_60.csv", "does not list BTCUSDT, only XBTUSD, "),
        ("BTCUSD_60.csv", "does not list BTCUSD, only .*; if BTCUSD means XBTUSD, call the file XBTUSD_60.csv"),
        ("xxbtzusd_60.csv", "does not list XXBTZUSD, only .*; if .* call the file XBTUSD_60.csv"),
        ("XBTUSD_61.csv", "61 minutes is not an interval"),
        ("XBTUSD_0.csv", "0 minutes is not an interval"),
        ("XBTUSD_24.csv", "24 minutes is not an interval, only 1, 5, 15, "),
    ],
)
def test_a_name_that_means_no_market_here_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(MalformedCandleFile, match=problem) as caught:
        load_candles(_file(tmp_path, GOOD, name=name))

    assert caught.value.line is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("my candles.csv", "says neither pair nor interval: call it PAIR_MINUTES.csv; .* XBTUSD_60.csv"),
        ("data.csv", "says neither pair nor interval: call it PAIR_MINUTES.csv"),
        ("ETHUSD.csv", "says no interval .*: call it PAIR_MINUTES.csv; for candles of an hour ETHUSD_60.csv"),
        ("hourly.csv", "says no pair: call it PAIR_MINUTES.csv; for bitcoin in US dollars XBTUSD_60.csv"),
        ("60.csv", "says no pair: call it PAIR_MINUTES.csv"),
        ("ETH_USD_60.csv", "does not clearly say pair and interval: .*; probably ETHUSD_60.csv"),
        ("ETH-USD-1440.csv", "does not clearly say pair and interval: .*; probably ETHUSD_1440.csv"),
        ("XBTUSD 60.csv", "does not clearly say pair and interval: .*; probably XBTUSD_60.csv"),
        ("Copy of XBTUSD_60.csv", "does not clearly say pair and interval: .*; probably XBTUSD_60.csv"),
        ("XBTUSD_1h.csv", "does not clearly say pair and interval: .*; probably XBTUSD_60.csv"),
        ("XBTUSD_60m.csv", "does not clearly say pair and interval: .*; probably XBTUSD_60.csv"),
        ("ethusd_daily.csv", "does not clearly say pair and interval: .*; probably ETHUSD_1440.csv"),
        ("BTC_USD_4h.csv", "does not clearly say pair and interval: .*; probably XBTUSD_240.csv"),
        ("XBTUSD\u0660_\u0666\u0660.csv", "call it PAIR_MINUTES.csv"),
    ],
)
def test_a_name_that_is_not_clear_is_refused_with_its_form_and_probable_meaning(
    tmp_path: Path, name: str, problem: str
) -> None:
    with pytest.raises(MalformedCandleFile, match=problem) as caught:
        load_candles(_file(tmp_path, GOOD, name=name))

    assert caught.value.line is None
    assert "XBTUSD, ETHUSD, SOLUSD, XDGUSD" in caught.value.message


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("XBTUSD_60.csv", spaced(60, 180, 60, 1440, 60, 10080)),
        ("XBTUSD_60.csv", spaced(120, 60, 120, 180)),
        ("XBTUSD_1.csv", spaced(5, 1, 7, 3, 60, 2)),
        ("XBTUSD_1440.csv", spaced(1440, 2880, 1440)),
    ],
)
def test_gaps_where_nothing_was_traded_do_not_contradict_the_name(tmp_path: Path, name: str, rows: list[str]) -> None:
    assert len(load_candles(_file(tmp_path, rows, name=name))) == len(rows)


@pytest.mark.parametrize(
    ("name", "rows", "problem"),
    [
        ("XBTUSD_60.csv", spaced(*[1440] * 9), "rows are 1440 minutes apart, .* says 60; call it XBTUSD_1440.csv"),
        (
            "ETHUSD_60 (1).csv",
            spaced(*[240] * 9, 480),
            "rows are 240 minutes apart, .* says 60; call it ETHUSD_240.csv",
        ),
        ("XBTUSD_1.csv", spaced(*[60] * 9, 1, 59), "rows are 60 minutes apart, but its name says 1; call it XBTUSD_60"),
        ("XBTUSD_60.csv", spaced(120, 120, 120), "rows are 120 minutes apart, but its name says 60"),
    ],
)
def test_rows_that_are_further_apart_than_the_name_says_are_refused(
    tmp_path: Path, name: str, rows: list[str], problem: str
) -> None:
    with pytest.raises(MalformedCandleFile, match=problem):
        load_candles(_file(tmp_path, rows, name=name))


def test_rows_that_are_closer_than_the_name_says_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        MalformedCandleFile, match=r"line 2: time \d+ is not on the 60 minute grid that the file's name says"
    ):
        load_candles(_file(tmp_path, spaced(5, 5, 5)))


def test_a_link_goes_by_its_own_name_else_by_its_target_s(tmp_path: Path) -> None:
    hashed, named = _file(tmp_path, GOOD, name="SHA256E-a1b2.csv"), _file(tmp_path, GOOD, name="ETHUSD_60.csv")
    (tmp_path / "XBTUSD_60.csv").symlink_to(hashed)
    (tmp_path / "current.csv").symlink_to(named)

    assert load_candles(tmp_path / "XBTUSD_60.csv").pair.altname == "XBTUSD"
    assert load_candles(tmp_path / "current.csv").pair.altname == "ETHUSD"


def test_a_link_under_another_market_s_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "XBTUSD_60.csv").symlink_to(_file(tmp_path, GOOD, name="ETHUSD_60.csv"))

    with pytest.raises(MalformedCandleFile, match=r"is a link to ETHUSD_60\.csv, which is another market's name"):
        load_candles(tmp_path / "XBTUSD_60.csv")


def test_a_file_that_takes_too_long_to_read_is_refused_with_what_to_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.paper.market.dump_file.MOST_CANDLES", 3)
    assert len(load_candles(_file(tmp_path, GOOD))) == 3

    with pytest.raises(MalformedCandleFile, match=r"line 4: it has more than 3 candles; keep its end: tail -n 3, "):
        load_candles(_file(tmp_path, spaced(60, 60, 60)))


def test_a_loop_of_links_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "XBTUSD_60.csv").symlink_to(tmp_path / "XBTUSD_60.csv")

    with pytest.raises(UnreadableCandleFile, match=r"cannot be read: Too many levels of symbolic links\.$"):
        load_candles(tmp_path / "XBTUSD_60.csv")


@pytest.mark.timeout(10)
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "XBTUSD_60.csv")

    with pytest.raises(UnreadableCandleFile, match="it is not a regular file"):
        load_candles(tmp_path / "XBTUSD_60.csv")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x1f\x8b\x08\x00garbage", "the file is compressed; unpack it"),
        (b"\xef\xbb\xbf1514764800,1,1,1,1,1,1\n", "it begins with a byte order mark"),
        (b"time,open,high,low,close,volume,trades\n", "if this is a header, remove it"),
        (b"1" * 3_000_000, "the line is too long to be a row"),
        (b"\n\n\n", "the file is empty"),
    ],
)
def test_a_file_of_another_format_is_named_for_what_it_is(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "XBTUSD_60.csv"
    path.write_bytes(content)

    with pytest.raises(MalformedCandleFile, match=problem) as caught:
        load_candles(path)

    assert caught.value.line == 1


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnreadableCandleFile, match=r"cannot be read: No such file or directory\.$"):
        load_candles(tmp_path / "XBTUSD_60.csv")
