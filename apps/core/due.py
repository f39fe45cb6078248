"""Due times that survive a clock that is set back.

A time that the platform stored for later was never further ahead than the longest interval of its kind. One that is
further ahead was stored before the clock was set back: it counts as reached, else nothing would happen until the clock
has caught up. A little tolerance allows for the clocks of several machines.
"""

from datetime import datetime, timedelta

from django.db.models import Q

# How far the clocks of machines that set and read such a time may be apart.
CLOCKS_DIFFER = timedelta(seconds=10)


def is_due(moment: datetime, *, now: datetime, at_most: timedelta) -> bool:
    """Whether a time that was set at most `at_most` ahead has been reached."""
    return moment <= now or moment > now + at_most + CLOCKS_DIFFER


def due(field: str, *, now: datetime, at_most: timedelta) -> Q:
    """The rows whose `field`, set at most `at_most` ahead, has been reached."""
    return Q(**{f"{field}__lte": now}) | Q(**{f"{field}__gt": now + at_most + CLOCKS_DIFFER})
