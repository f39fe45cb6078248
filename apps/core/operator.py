"""The option --operator: the person who runs a management command, for the audit log."""

import getpass
from typing import Any


def add_operator(parser: Any) -> None:
    """Adds the option --operator. Its default is the operating system's user."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    parser.add_argument("--operator", default=user, metavar="NAME", help="who does this, for the audit log")
