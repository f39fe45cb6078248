"""Checks the market data completely, before the exchange starts."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.paper.errors import UnusableMarketData
from apps.paper.market.candles import CandleSeries
from apps.paper.market.dump_file import load_candles
from apps.paper.market.listing import listed_markets


class Command(BaseCommand):
    help = "Checks the candle files that MARKET_DATA names (or the one given) and says what they hold."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", nargs="?", type=Path, help="a candle file; without it, what MARKET_DATA names")

    def handle(self, *args: Any, path: Path | None, **options: Any) -> None:
        try:
            listed = [load_candles(path)] if path else list(listed_markets().values())
        except UnusableMarketData as error:
            sys.exit(error.message)
        for series in listed:
            self.stdout.write(summary(series))


def summary(series: CandleSeries) -> str:
    first, last = (datetime.fromtimestamp(series.times[i], UTC).strftime("%Y-%m-%d %H:%M") for i in (0, -1))
    origin = f"synthetic, {series.source}" if series.synthetic else f"recorded, {series.source}"
    return (
        f"{series.pair.altname}: {len(series)} candles of {series.interval_minutes} minutes, "
        f"{first} to {last} UTC ({origin})"
    )
