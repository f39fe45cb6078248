"""Ports for the stacks that tests start: free ones, so that another stack on the machine does not fail a test."""

import json

from dev.base import ports, processes
from dev.base import profile as profiles
from dev.base.profile import PORTS

FIRST, LAST, STEP = 4000, 12000, 150


def free_offset(name: str) -> int:
    """A port offset for the profile `name` whose ports are all free.

    The profile's present offset is kept while its processes run, or while its ports are free. Fails where none is left.
    """
    note = profiles.LOCAL / name / "profile.json"
    known = [int(json.loads(note.read_text())["offset"])] if note.is_file() else []
    offset: int
    for offset in (*known, *range(FIRST, LAST, STEP)):
        if offset in known and processes.running(profiles.load(name, {}, offset)):
            return offset
        if not any(ports.is_busy(port + offset) for port in PORTS.values()):
            note.unlink(missing_ok=True)
            return offset
    raise AssertionError(f"No port offset from {FIRST} to {LAST} has all of its ports free.")
