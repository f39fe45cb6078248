"""Who gives a command on the command line, for the audit log."""

import getpass
from typing import Any


def add_operator(parser: Any) -> None:
    """The option --operator; the user of the operating system where nobody is named."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    parser.add_argument("--operator", default=user, metavar="NAME", help="who does this, for the audit log")
