"""Compares published documents with the code: OpenAPI, AsyncAPI, shapes, orders, roles, metrics, events, tables."""

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
from apps.ops import access_table, event_flows, metrics_page, schema_page, staff_pages
from apps.trading.models import order_states

SERVICES = ("user", "kraken", "paper")


class Command(BaseCommand):
    help = "Fails where a document that is generated from the code, or a frozen message shape, differs from the code."

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
    yield docs / "orders.md", _orders(docs / "orders.md")
    yield docs / "roles.md", _roles(docs / "roles.md")
    yield docs / "metrics.md", metrics_page.as_markdown()
    yield docs / "events.md", event_flows.as_markdown()
    yield docs / "database.md", schema_page.as_markdown()


def _orders(page: Path) -> str:
    """The page with its diagram and its table of states made from the table of transitions."""
    text = page.read_text()
    text = _with_block(page, text, "diagram", f"```mermaid\n{order_states.as_mermaid()}\n```")
    return _with_block(page, text, "states", order_states.as_markdown())


def _roles(page: Path) -> str:
    """The page with its tables made from the rules of the views and the permissions of the staff site."""
    text = _with_block(page, page.read_text(), "calls", access_table.as_markdown())
    text = _with_block(page, text, "staff site", access_table.staff_site_as_markdown())
    return _with_block(page, text, "staff pages", staff_pages.as_markdown())


def _with_block(page: Path, text: str, name: str, content: str) -> str:
    """The text with what stands between the markers of that name replaced. Raises CommandError without the markers."""
    begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise CommandError(f"docs/{page.name} needs the lines {begin} and {end}.")
    return f"{before}{begin}\n{content}\n{end}{after}"


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
