"""How sure the platform is of a caller: what the access token says of address, second factor and step-up."""

from dataclasses import dataclass
from datetime import datetime, timedelta

# How long a step-up counts (POST /auth/step-up).
STEP_UP_LASTS = timedelta(minutes=5)

# The user service's clock may be ahead of the reader's by this much.
_CLOCK_SKEW = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Assurance:
    """`stepped_up_at` (UTC): when the caller last proved the second factor; None without such a proof."""

    has_verified_email: bool = False
    has_mfa: bool = False
    stepped_up_at: datetime | None = None

    def has_fresh_step_up(self, *, now: datetime) -> bool:
        return self.stepped_up_at is not None and -_CLOCK_SKEW <= now - self.stepped_up_at <= STEP_UP_LASTS


# Of a caller of whom nothing is known.
NONE = Assurance()
