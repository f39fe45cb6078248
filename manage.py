#!/usr/bin/env python3
"""One entry for every Django project: SERVICE=user|kraken|bot|staff|paper|console (staff by default)."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent

PROJECTS = {
    "user": "user_service",
    "kraken": "kraken_service",
    "bot": "bot_service",
    "staff": "staff_site",
    "paper": "paper_exchange",
    "console": "web_console",
}


def main() -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
    service = os.environ.get("SERVICE", "staff")
    if service not in PROJECTS:
        sys.exit(f"manage.py: SERVICE={service!r} is not a service. Choose one of: {', '.join(PROJECTS)}.")
    os.environ["DJANGO_SETTINGS_MODULE"] = f"{PROJECTS[service]}.settings"

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
