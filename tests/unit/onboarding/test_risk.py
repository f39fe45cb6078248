"""The risk profile follows from three answers."""

import itertools

import pytest

from apps.onboarding.risk import Horizon, Reaction, RiskProfile, risk_profile

ORDER = list(RiskProfile)


@pytest.mark.parametrize(
    ("loss", "horizon", "reaction", "profile"),
    [
        (10, "years", "buy", "cautious"),
        (11, "weeks", "hold", "cautious"),
        (20, "months", "hold", "balanced"),
        (30, "months", "buy", "balanced"),
        (30, "years", "buy", "bold"),
        (31, "years", "hold", "bold"),
        (100, "weeks", "sell", "cautious"),
        (100, "weeks", "buy", "balanced"),
    ],
)
def test_the_profile_of_some_people(loss: int, horizon: str, reaction: str, profile: str) -> None:
    assert risk_profile(acceptable_loss_percent=loss, horizon=horizon, reaction=reaction) == profile


def test_more_appetite_in_one_answer_never_means_a_more_cautious_profile() -> None:
    losses, horizons, reactions = range(101), list(Horizon), list(Reaction)
    table = {
        (loss, h, r): ORDER.index(
            risk_profile(acceptable_loss_percent=loss, horizon=horizons[h], reaction=reactions[r])
        )
        for loss, h, r in itertools.product(losses, range(3), range(3))
    }
    for (loss, h, r), rank in table.items():
        for bolder in ((loss + 1, h, r), (loss, h + 1, r), (loss, h, r + 1)):
            assert table.get(bolder, rank) >= rank
