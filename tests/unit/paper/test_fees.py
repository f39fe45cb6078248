from decimal import Decimal

import pytest

from apps.paper.engine.fees import SCHEDULES, fee_schedule
from apps.paper.errors import UnknownFeeSchedule


@pytest.mark.parametrize(
    ("volume", "taker", "maker"),
    [
        ("0", "0.0040", "0.0025"),
        ("9999.99", "0.0040", "0.0025"),
        ("10000", "0.0035", "0.0020"),
        ("49999", "0.0035", "0.0020"),
        ("10000000", "0.0010", "0"),
        ("99999999999", "0.0010", "0"),
    ],
)
def test_a_tier_begins_at_its_volume(volume: str, taker: str, maker: str) -> None:
    tier = fee_schedule("standard").tier(Decimal(volume))

    assert (tier.taker, tier.maker) == (Decimal(taker), Decimal(maker))


def test_the_next_tier_is_the_first_above() -> None:
    schedule = fee_schedule("standard")

    following = schedule.next_tier(Decimal(10_000))
    assert following is not None
    assert following.volume == 50_000
    assert schedule.next_tier(Decimal(10_000_000)) is None


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=lambda schedule: str(schedule.name))
def test_more_volume_never_costs_more(schedule: object) -> None:
    tiers = SCHEDULES[schedule.name].tiers  # type: ignore[attr-defined]

    assert [tier.volume for tier in tiers] == sorted({tier.volume for tier in tiers})
    assert [tier.taker for tier in tiers] == sorted((tier.taker for tier in tiers), reverse=True)
    assert all(tier.maker <= tier.taker for tier in tiers)
    assert tiers[0].volume == 0


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(UnknownFeeSchedule, match="standard, autumn-2026, free"):
        fee_schedule("generous")
