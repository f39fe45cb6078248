"""The IANA time zones that an account may have."""

from typing import Final
from zoneinfo import available_timezones

# The zone folder of a machine also has files that are no zones of the IANA's: `localtime` and `posixrules` are the
# machine's own choice, and `Factory` says that none was made. IANA's names begin with a capital.
TIME_ZONES: Final = tuple(sorted(name for name in available_timezones() if name[0].isupper() and name != "Factory"))
