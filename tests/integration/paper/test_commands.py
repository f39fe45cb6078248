import os
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from apps.paper.models import Market
from apps.paper.services.markets import market_current
from tests.integration.paper.conftest import Replaying, candle_file
from tests.unit.paper.builders import flat

ROOT = Path(__file__).resolve().parents[3]


def _output(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_good_candles_are_summed_up(tmp_path: Path) -> None:
    path = candle_file(tmp_path, [flat(10_000)] * 30)

    assert _output("check_market_data", str(path)) == (
        "XBTUSD: 30 candles of 60 minutes, 2018-01-01 00:00 to 2018-01-02 05:00 UTC (recorded, XBTUSD_60.csv)\n"
    )


def test_a_folder_lists_each_of_its_files_once(settings: Settings, tmp_path: Path) -> None:
    for name in ("XBTUSD_60.csv", "ETHUSD_60.csv"):
        candle_file(tmp_path, [flat(10_000)] * 3, name)
    settings.MARKET_DATA = tmp_path

    assert [line.split(":")[0] for line in _output("check_market_data").splitlines()] == ["ETHUSD", "XBTUSD"]


def test_two_files_of_one_pair_are_refused(settings: Settings, tmp_path: Path) -> None:
    for name in ("XBTUSD_60.csv", "XBTUSD_60_2.csv"):
        candle_file(tmp_path, [flat(10_000)] * 3, name)
    settings.MARKET_DATA = tmp_path

    with pytest.raises(SystemExit, match=r"XBTUSD_60\.csv holds candles of XBTUSD already"):
        _output("check_market_data")


def test_a_folder_is_read_without_hidden_files_and_with_suffixes_in_any_case(
    settings: Settings, tmp_path: Path
) -> None:
    candle_file(tmp_path, [flat(10_000)] * 3, "ETHUSD_60.CSV")
    (tmp_path / "._ETHUSD_60.csv").write_bytes(b"\x00\x05\x16\x07")
    settings.MARKET_DATA = tmp_path

    assert [line.split(":")[0] for line in _output("check_market_data").splitlines()] == ["ETHUSD"]


def test_an_unclear_name_in_a_folder_is_refused(settings: Settings, tmp_path: Path) -> None:
    candle_file(tmp_path, [flat(10_000)] * 3)
    candle_file(tmp_path, [flat(10_000)] * 3, "notes.csv")
    settings.MARKET_DATA = tmp_path

    with pytest.raises(SystemExit, match=r"notes\.csv: its name says neither pair nor interval"):
        _output("check_market_data")


def test_without_a_file_the_market_is_said_to_be_synthetic(settings: Settings) -> None:
    settings.MARKET_DATA = None

    assert "(synthetic, generated from seed" in _output("check_market_data")


def test_a_malformed_file_ends_the_process_with_one_sentence(tmp_path: Path) -> None:
    path = candle_file(tmp_path, [flat(10_000)] * 30)
    lines = path.read_text().splitlines()
    lines[11] = lines[11].replace("1000.0", "x", 1)
    path.write_text("\n".join(lines))

    result = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "check_market_data", str(path)],
        env={**os.environ, "SERVICE": "paper"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert result.returncode == 1
    assert result.stderr == f"The candle file {path}, line 12: open is 'x', not a plain decimal number.\n"
    assert result.stdout == ""


@pytest.mark.django_db
def test_an_ended_market_is_started_again_on_request(market: Replaying) -> None:
    market([flat(10_000)] * 10, candle_seconds=1)
    market_current(pair="XBTUSD", clock=lambda: timezone.now() - timedelta(hours=1))

    assert _output("restart_market", "--if-ended") == "XBTUSD starts again.\n"
    assert _output("restart_market", "--if-ended") == "No market had ended; all go on.\n"
    assert _output("restart_market") == "XBTUSD starts again.\n"
    assert timezone.now() - Market.objects.get().started_at < timedelta(minutes=1)
