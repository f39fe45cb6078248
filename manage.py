#!/usr/bin/env python3
"""One entry for every Django project of the platform: SERVICE=user|kraken|bot|staff|paper (staff by default)."""

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
