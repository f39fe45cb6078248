"""Risk profile of a user, from three answers. Pure, so that tests cover every combination."""

from enum import StrEnum


class Horizon(StrEnum):
    """How long the money can stay invested."""

    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"


class Reaction(StrEnum):
    """What the user would do after a fall of 20 % in a week."""

    SELL = "sell"
    HOLD = "hold"
    BUY = "buy"


class RiskProfile(StrEnum):
    CAUTIOUS = "cautious"
    BALANCED = "balanced"
    BOLD = "bold"


_HORIZON_POINTS = {Horizon.WEEKS: 0, Horizon.MONTHS: 1, Horizon.YEARS: 2}
_REACTION_POINTS = {Reaction.SELL: 0, Reaction.HOLD: 1, Reaction.BUY: 2}


def risk_profile(*, acceptable_loss_percent: int, horizon: str, reaction: str) -> RiskProfile:
    """The risk profile. An acceptable loss of at most 10 % is always cautious."""
    if acceptable_loss_percent <= 10:
        return RiskProfile.CAUTIOUS
    loss_points = 1 if acceptable_loss_percent <= 30 else 2
    points = loss_points + _HORIZON_POINTS[Horizon(horizon)] + _REACTION_POINTS[Reaction(reaction)]
    if points <= 2:
        return RiskProfile.CAUTIOUS
    return RiskProfile.BALANCED if points <= 4 else RiskProfile.BOLD
