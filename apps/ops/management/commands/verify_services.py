"""Verifies a running installation: servers, processes, topology, clocks, certificates, and two round trips."""

import json
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.core.arguments import positive_number
from apps.ops.verification.outcome import Outcome
from apps.ops.verification.verify import verify


class Command(BaseCommand):
    help = (
        "Verifies a running installation end to end: one line for each check, with what is wrong and what to do. Exit "
        "status 1 on a problem. Changes nothing but the rows of one probing command and one event."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--gateway", metavar="URL", help="the gateway's address; MUCKARD_PUBLIC_URL if left out")
        parser.add_argument("--seconds", type=positive_number, default=30.0, help="what a round trip may take (30)")
        parser.add_argument("--json", action="store_true", help="a list of objects instead of lines")

    def handle(self, *, gateway: str | None, seconds: float, json: bool, **_: Any) -> None:
        outcomes = []
        url = (gateway or settings.ENVIRONMENT.public_url).rstrip("/")
        for outcome in verify(gateway_url=url, now=timezone.now(), seconds=seconds):
            outcomes.append(outcome)
            if not json:
                self.stdout.write(_line(outcome))
        if json:
            self.stdout.write(_json(outcomes))
        if problems := sum(not outcome.ok for outcome in outcomes):
            raise CommandError(f"{problems} of {len(outcomes)} checks found a problem.")


def _line(outcome: Outcome) -> str:
    told = " ".join(part for part in (outcome.detail, outcome.advice) if part)
    return f"{'ok' if outcome.ok else 'PROBLEM':<8}{outcome.check:<36} {told}".rstrip()


def _json(outcomes: list[Outcome]) -> str:
    return json.dumps([asdict(outcome) for outcome in outcomes], indent=1)
