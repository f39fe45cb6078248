"""Fee schedules: fractions of the cost, by the account's volume of the last 30 days in USD.

Source of "standard": the tiers in Kraken's AssetPairs answers of November 2025 to February 2026. Kraken changes them;
an account keeps the schedule that it was opened with.
"""

from dataclasses import dataclass
from decimal import Decimal

from apps.paper.errors import UnknownFeeSchedule


@dataclass(frozen=True, slots=True)
class FeeTier:
    """The fractions of the cost that are charged from a 30-day volume of `volume` USD."""

    volume: Decimal
    taker: Decimal
    maker: Decimal


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    name: str
    tiers: tuple[FeeTier, ...]

    def tier(self, volume: Decimal) -> FeeTier:
        return [tier for tier in self.tiers if tier.volume <= volume][-1]

    def next_tier(self, volume: Decimal) -> FeeTier | None:
        return next((tier for tier in self.tiers if tier.volume > volume), None)


def _schedule(name: str, *percents: tuple[int, str, str]) -> FeeSchedule:
    return FeeSchedule(
        name,
        tuple(
            FeeTier(Decimal(volume), Decimal(taker).scaleb(-2), Decimal(maker).scaleb(-2))
            for volume, taker, maker in percents
        ),
    )


SCHEDULES: dict[str, FeeSchedule] = {
    schedule.name: schedule
    for schedule in (
        _schedule(
            "standard",
            (0, "0.40", "0.25"),
            (10_000, "0.35", "0.20"),
            (50_000, "0.24", "0.14"),
            (100_000, "0.22", "0.12"),
            (250_000, "0.20", "0.10"),
            (500_000, "0.18", "0.08"),
            (1_000_000, "0.16", "0.06"),
            (2_500_000, "0.14", "0.04"),
            (5_000_000, "0.12", "0.02"),
            (10_000_000, "0.10", "0.00"),
        ),
        # The two lowest tiers that Kraken's autumn 2026 answers show.
        _schedule("autumn-2026", (0, "0.80", "0.40"), (2_500, "0.60", "0.30")),
        _schedule("free", (0, "0", "0")),
    )
}
DEFAULT_SCHEDULE = "standard"


def fee_schedule(name: str) -> FeeSchedule:
    """Raises UnknownFeeSchedule."""
    if name not in SCHEDULES:
        raise UnknownFeeSchedule(f"There is no fee schedule {name!r}; there are {', '.join(SCHEDULES)}.")
    return SCHEDULES[name]
