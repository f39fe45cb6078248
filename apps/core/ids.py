"""Identifiers that sort by creation time."""

import secrets
import time
from datetime import datetime
from uuid import UUID


def new_id() -> UUID:
    """A UUID version 7 (RFC 9562, 5.7 and 6.2, method 3): 48 bits of Unix milliseconds, 12 bits of the fraction of the
    millisecond, 62 random bits."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62
    return UUID(int=value | secrets.randbits(62))


def first_id_at(moment: datetime) -> UUID:
    """The lowest id of version 7 that can be made at `moment` (aware), to the millisecond."""
    return UUID(int=int(moment.timestamp() * 1000) << 80 | 0x7 << 76 | 0b10 << 62)
