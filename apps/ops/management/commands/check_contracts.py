"""Compares the published contracts with the code: OpenAPI, AsyncAPI and the frozen shapes of messages."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.events.brokers import asyncapi
from apps.messages import schemas

SERVICES = ("user", "kraken")


class Command(BaseCommand):
    help = "Fails where docs/openapi-*.yaml, docs/asyncapi.json or a frozen message shape differ from the code."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--write", action="store_true", help="write the documents, and freeze new shapes")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["write"]:
            schemas.freeze_new_shapes()
        problems = list(schemas.changed_shapes())
        for path, content in _documents():
            if options["write"]:
                path.write_text(content)
            elif not path.exists() or path.read_text() != content:
                problems.append(
                    f"{path.name} is not up to date: run `manage.py check_contracts --write`, and commit it."
                )
        if problems:
            raise CommandError("\n".join(problems))
        self.stdout.write("Contracts are up to date.")


def _documents() -> Iterator[tuple[Path, str]]:
    docs: Path = settings.BASE_DIR / "docs"
    for service in SERVICES:
        yield docs / f"openapi-{service}.yaml", _openapi(service)
    yield docs / "asyncapi.json", json.dumps(asyncapi.asyncapi_document(), indent=2) + "\n"


def _openapi(service: str) -> str:
    """The document as the service itself makes it, with its own settings."""
    result = subprocess.run(
        [sys.executable, "manage.py", "spectacular", "--validate", "--fail-on-warn"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "SERVICE": service},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise CommandError(f"The OpenAPI document of the {service} service has faults:\n{result.stderr.strip()}")
    return result.stdout
