"""Compares the published contracts with the code: OpenAPI, AsyncAPI and the frozen shapes of messages."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema

from apps.events import contracts
from service_common.settings.api import TITLES

SERVICES = {"user": "user_service.urls", "kraken": "kraken_service.urls"}


class Command(BaseCommand):
    help = "Fails where docs/openapi-*.yaml, docs/asyncapi.json or a frozen message shape differ from the code."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--write", action="store_true", help="write the documents, and freeze new shapes")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["write"]:
            contracts.freeze_new_shapes()
        problems = list(contracts.changed_shapes())
        for path, content in _documents():
            if options["write"]:
                path.write_bytes(content)
            elif not path.exists() or path.read_bytes() != content:
                problems.append(
                    f"{path.name} is not up to date: run `manage.py check_contracts --write`, and commit it."
                )
        if problems:
            raise CommandError("\n".join(problems))
        self.stdout.write("Contracts are up to date.")


def _documents() -> Iterator[tuple[Path, bytes]]:
    docs: Path = settings.BASE_DIR / "docs"
    for service, urls in SERVICES.items():
        schema = SchemaGenerator(urlconf=urls).get_schema(request=None, public=True)
        schema["info"].update(title=TITLES[service][0], description=TITLES[service][1])
        validate_schema(schema)
        yield docs / f"openapi-{service}.yaml", OpenApiYamlRenderer().render(schema, renderer_context={})
    yield docs / "asyncapi.json", (json.dumps(contracts.asyncapi_document(), indent=2) + "\n").encode()
